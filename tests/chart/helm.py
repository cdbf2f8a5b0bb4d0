"""Renders the chart: with the ``helm`` on the path, else with Helm 4 as a library."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from helm_python import Chart
from helm_python.errors import HelmError

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "sluice"
RELEASE = "shop"
NAMESPACE = "payments"

Manifest: TypeAlias = Mapping[str, Any]
Values: TypeAlias = Mapping[str, Any]


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where there is one


class Refused(Exception):
    """The chart does not render with these values; the text says why."""


def values_files() -> Mapping[str, Values]:
    """Every file of values for the chart, by a name for test ids, as Helm would merge them."""
    files = {path.stem: read(path) for path in sorted((CHART / "ci").glob("*-values.yaml"))}
    others = ROOT / "charts" / "values"
    production = read(others / "production.yaml")
    return files | {
        "production": production,
        "supabase": merge(production, read(others / "supabase.yaml")),
        "ingress": merge(production, read(others / "ingress.yaml")),
        "openshift": merge(production, read(others / "openshift.yaml")),
        "development": read(others / "development.yaml"),
    }


def read(path: Path) -> Values:
    """A values file."""
    loaded: Values = yaml.safe_load(path.read_text())
    return loaded


def merge(below: Values, above: Values) -> Values:
    """As ``-f below -f above``: maps are merged, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        both_maps = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both_maps else value
    return merged


def render(values: Values, *, release: str = RELEASE, namespace: str = NAMESPACE) -> Sequence[Manifest]:
    """Every object that an installation makes, hooks included. Raises Refused."""
    return _manifests(json.dumps(values, sort_keys=True), release, namespace)


def notes(values: Values) -> str:
    """The notes after an installation; always from the library, for ``helm template`` leaves them out."""
    with Chart.load(CHART) as chart:
        return chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)["sluice/templates/NOTES.txt"]


@cache
def _manifests(values: str, release: str, namespace: str) -> Sequence[Manifest]:
    documents = yaml.load_all(_sources(values, release, namespace), Loader=_Loader)
    return tuple(document for document in documents if document)


def _sources(values: str, release: str, namespace: str) -> str:
    helm = shutil.which("helm")
    if helm:
        return _with_command(helm, values, release, namespace)
    with Chart.load(CHART) as chart:
        try:
            files = chart.render(json.loads(values), name=release, namespace=namespace, is_install=True)
        except HelmError as error:
            raise Refused(str(error)) from error
    return "\n---\n".join(text for path, text in sorted(files.items()) if path.endswith(".yaml"))


def _with_command(helm: str, values: str, release: str, namespace: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(values)
        file.flush()
        command = [helm, "template", release, str(CHART), "--namespace", namespace, "--values", file.name]
        command += ["--kube-version", "1.34.0"]  # what an older Helm takes for the cluster is too old for the chart
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def of_kind(manifests: Sequence[Manifest], kind: str) -> Mapping[str, Manifest]:
    """Those of one kind, by name without the release's."""
    return {short_name(one): one for one in manifests if one["kind"] == kind}


def short_name(manifest: Manifest) -> str:
    """The name without the base that all share."""
    name: str = manifest["metadata"]["name"]
    return name.removeprefix(f"{RELEASE}-sluice").removeprefix("-")


def pod_specs(manifests: Sequence[Manifest]) -> Mapping[str, Manifest]:
    """The specification of every pod that could run, by kind and name."""
    found = {}
    for one in manifests:
        key = f"{one['kind']}/{short_name(one)}"
        if one["kind"] == "Pod":
            found[key] = one["spec"]
        elif one["kind"] == "CronJob":
            found[key] = one["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif one["kind"] in ("Deployment", "Job"):
            found[key] = one["spec"]["template"]["spec"]
    return found


def settings_of(pod_spec: Manifest) -> Mapping[str, str]:
    """The environment of a pod's first container."""
    return {one["name"]: one["value"] for one in pod_spec["containers"][0].get("env", [])}
