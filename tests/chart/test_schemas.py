"""Every object is what a cluster's API server takes."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files as package_files
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus
from helm_python import lint
from pydantic import BaseModel

from tests.chart.helm import CHART, ROOT, Manifest, Values, of_kind, render
from tests.chart.http_route import HttpRoute

HTTP_ROUTE = "HTTPRoute"
# The oldest that Chart.yaml admits, the one in which the sleep action became stable, and the newest that is known.
VERSIONS: tuple[str, ...] = ("1.30.0", "1.34.0", kubernetes_validate.latest_version())
CUSTOM: Mapping[str, type[BaseModel]] = {
    "ScaledObject": keda.ScaledObject,
    "TriggerAuthentication": keda.TriggerAuthentication,
    "PodMonitor": prometheus.PodMonitor,
    "PrometheusRule": prometheus.PrometheusRule,
    HTTP_ROUTE: HttpRoute,
}


@pytest.fixture(autouse=True)
def _schemas_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is megabytes long, and the validator reads it anew for every object."""
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", _schema)


_schema = cache(kubernetes_validate.utils.schema_contents)


def is_custom(manifest: Manifest) -> bool:
    """Not of Kubernetes' own."""
    return manifest["kind"] in CUSTOM


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_schema_of_the_cluster(values: Values, version: str) -> None:
    """Strictly: an unknown field is an error too."""
    for manifest in render(values):
        if not is_custom(manifest):
            kubernetes_validate.validate(dict(manifest), version, strict=True)


def test_custom_objects_fit_their_definitions(everything: Values) -> None:
    """KEDA's, the Prometheus Operator's and the Gateway API's models take them, and drop nothing as unknown."""
    seen = set()
    for manifest in render(everything):
        model = CUSTOM.get(manifest["kind"])
        if model:
            seen.add(manifest["kind"])
            parsed = model.model_validate(manifest)
            assert without_nothing(parsed.model_dump(by_alias=True, exclude_unset=True, mode="json")) == manifest
    assert seen == set(CUSTOM)


def without_nothing(value: Any) -> Any:
    """The same without keys that a model added with no value."""
    if isinstance(value, Mapping):
        return {key: without_nothing(inner) for key, inner in value.items() if inner is not None}
    return [without_nothing(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["postgres", "nats", "secrets"])
def test_the_development_manifests_fit_too(name: str) -> None:
    """Tilt applies them as they are."""
    for manifest in yaml.safe_load_all((ROOT / "charts" / "values" / "development" / f"{name}.yaml").read_text()):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


def test_helm_finds_nothing_to_complain_of(values: Values) -> None:
    """``helm lint --strict``; that there is no icon is no complaint."""
    report = lint(CHART, dict(values), strict=True)
    assert not report["errors"]
    assert [one["error"] for one in report["messages"]] == ["icon is recommended"]


def test_every_kubernetes_version_of_interest_is_known() -> None:
    """The validator falls back silently to an older schema where it lacks one."""
    folder = package_files("kubernetes_validate") / "kubernetes-json-schema"
    for version in VERSIONS:
        assert (folder / f"v{version}-local-strict").is_dir()


def test_an_ingress_carries_exactly_the_public_paths(everything: Values) -> None:
    """So does an HTTPRoute; files/routes.yaml has them for the local gateway too."""
    wanted = {
        (one["path"], one["match"], f"shop-sluice-{one['service']}")
        for one in yaml.safe_load((CHART / "files" / "routes.yaml").read_text())["routes"]
    }
    manifests = render(everything)
    ingress = of_kind(manifests, "Ingress")[""]["spec"]["rules"][0]["http"]["paths"]
    assert {(p["path"], p["pathType"].lower(), p["backend"]["service"]["name"]) for p in ingress} == wanted
    kinds = {"Exact": "exact", "PathPrefix": "prefix"}
    route = [(rule["matches"][0]["path"], rule["backendRefs"][0]) for rule in _rules(manifests)]
    assert {(path["value"], kinds[path["type"]], backend["name"]) for path, backend in route} == wanted
    assert all(backend["port"] == 80 for _, backend in route)


def _rules(manifests: Any) -> Any:
    return of_kind(manifests, HTTP_ROUTE)[""]["spec"]["rules"]
