"""The public paths, read from the file that the chart's Ingress is made of too."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROUTES_FILE = Path(__file__).resolve().parents[1] / "charts" / "sluice" / "files" / "routes.yaml"


@dataclass(frozen=True)
class Route:
    """One public path and the service that answers it."""

    path: str
    is_prefix: bool
    service: str

    def matches(self, path: str) -> bool:
        """Whether a request's path is this one, or below it where this is a prefix."""
        if path == self.path:
            return True
        return self.is_prefix and path.startswith(self.path.rstrip("/") + "/")


def load_routes(file: Path = ROUTES_FILE) -> Sequence[Route]:
    """All routes, the longest path first, exact before prefix. Raises ValueError for a word it does not know."""
    entries = yaml.safe_load(file.read_text())["routes"]
    routes = [_route(entry) for entry in entries]
    return sorted(routes, key=lambda route: (-len(route.path), route.is_prefix))


def _route(entry: dict[str, str]) -> Route:
    if entry["match"] not in {"exact", "prefix"}:
        raise ValueError(f"match must be exact or prefix, not {entry['match']!r}")
    return Route(path=entry["path"], is_prefix=entry["match"] == "prefix", service=entry["service"])
