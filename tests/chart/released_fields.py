"""Fields that an upgrade cannot change; ``python -m tests.chart.released_fields`` records them, once a version."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from tests.chart.helm import CHART, Manifest, Values, merge, read, render

FOLDER = Path(__file__).parent / "released"
RELEASES = ("shop", "a-very-long-release-name-for-the-sluice-of-a-team-ab")
Fields: TypeAlias = Mapping[str, Any]


def version() -> str:
    """The chart's own."""
    return str(read(CHART / "Chart.yaml")["version"])


def values_of(released: str) -> Values:
    """The values of a user who upgrades from there."""
    return read(CHART / "ci" / f"upgrade-from-{released}-values.yaml")


def fields_of(values: Values) -> Mapping[str, Mapping[str, Fields]]:
    """For each release name, each object with what may never change as long as it is called so."""
    return {release: _objects(values, release) for release in RELEASES}


def _objects(values: Values, release: str) -> Mapping[str, Fields]:
    """All but ConfigMaps: a dashboard may come, go and change its name."""
    manifests = (one for one in render(values, release=release) if one["kind"] != "ConfigMap")
    return {f"{one['kind']}/{one['metadata']['name']}": _fixed(one) for one in manifests}


def plain_jobs(values: Values) -> Mapping[str, Any]:
    """Jobs that no hook deletes before the next one comes: a whole pod that cannot be changed, by name."""
    manifests = render(merge(values, {"migration": {"hook": False}}))
    return {one["metadata"]["name"]: one["spec"]["template"] for one in manifests if one["kind"] == "Job"}


def _fixed(manifest: Manifest) -> Fields:
    """The API server refuses a change of these; hooks are deleted before they are made again."""
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Deployment":
            return {"selector": spec["selector"]}
        case "Service":
            return {"type": spec["type"], "clusterIP": spec.get("clusterIP"), "ports": spec["ports"]}
        case "Job" | "Pod":
            return {"hook": manifest["metadata"]["annotations"]["helm.sh/hook-delete-policy"]}
        case _:
            return {}


def _record() -> None:
    path = FOLDER / f"{version()}.yaml"
    if path.exists():
        raise SystemExit(f"{path} is there: what was released stays as it was")
    path.write_text(yaml.safe_dump(fields_of(values_of(version())), width=118, default_flow_style=None))


if __name__ == "__main__":
    _record()
