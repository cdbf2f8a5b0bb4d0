"""``HEALTH_TARGETS``: services by name, with the host and port that stand for the admin ports of their replicas."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Target:
    """A service's name, and the host and port that stand for all of its replicas' admin ports."""

    name: str
    host: str
    port: int


def parse_targets(text: str) -> Sequence[Target]:
    """Read ``name=http://host:port`` items, separated by commas. Raises ValueError."""
    targets = [_parse_target(item.strip()) for item in text.split(",") if item.strip()]
    if len({target.name for target in targets}) < len(targets):
        raise ValueError("HEALTH_TARGETS names a service twice; one name stands for all of its replicas")
    return tuple(targets)


def _parse_target(item: str) -> Target:
    name, _, url = item.partition("=")
    if not _NAME.fullmatch(name):
        raise ValueError("HEALTH_TARGETS wants items like ingest=http://host:9090, names in lower case")
    address = _admin_address(url.strip())
    if address is None:
        raise ValueError(f"HEALTH_TARGETS wants {name}=http://host:port, with nothing behind the port")
    return Target(name, *address)


def _admin_address(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text quotes the URL
        return None
    if parts.scheme != "http" or not host or not port or _has_more(parts):
        return None
    return host, port


def _has_more(parts: SplitResult) -> bool:
    return parts.path not in ("", "/") or bool(parts.query or parts.fragment or "@" in parts.netloc)
