"""Evaluates the Tiltfile with a Starlark interpreter, and writes down what it asks of Tilt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import starlark

from tests.chart.helm import ROOT, Manifest, read, render

TILTFILE = ROOT / "Tiltfile"
NAMESPACE = "somewhere"
_PRELUDE = """
config = struct(define_string=_define, define_bool=_define, parse=_parse)
TRIGGER_MODE_MANUAL = "manual"
"""


@dataclass
class Asked:
    """The calls that a Tiltfile made."""

    yaml: list[str | Mapping[str, Any]] = field(default_factory=list)
    images: list[Mapping[str, Any]] = field(default_factory=list)
    workloads: list[Mapping[str, Any]] = field(default_factory=list)
    locals: list[Mapping[str, Any]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    defined: list[str] = field(default_factory=list)

    @property
    def names(self) -> Sequence[str]:
        """Every resource by the name that Tilt shows."""
        return [one.get("new_name") or one["workload"] for one in self.workloads] + [one["name"] for one in self.locals]

    @property
    def waits(self) -> Mapping[str, Sequence[str]]:
        """For each resource, those that it waits for."""
        found = {one.get("new_name") or one["workload"]: one.get("resource_deps", []) for one in self.workloads}
        return found | {one["name"]: one.get("resource_deps", []) for one in self.locals}

    def objects(self) -> Sequence[Manifest]:
        """Everything that would be applied, without the chart's test, which Tilt leaves out."""
        found: list[Manifest] = []
        for source in self.yaml:
            if isinstance(source, str):
                found += [one for one in _documents(source) if one]
            else:
                values = read(ROOT / source["values"][0])
                rendered = render(values, release=source["name"], namespace=source["namespace"])
                found += [one for one in rendered if one["kind"] != "Pod"]
        return found


def evaluate(**arguments: str | bool) -> Asked:
    """The Tiltfile as `tilt up -- --name value` reads it."""
    asked = Asked()
    module = starlark.Module()
    for name, builtin in _builtins(asked, arguments).items():
        module.add_callable(name, builtin)
    dialect = starlark.Dialect.extended()
    dialect.enable_top_level_stmt = True
    known = starlark.Globals.extended_by([starlark.LibraryExtension.StructType])
    starlark.eval(module, starlark.parse("prelude", _PRELUDE, dialect), known)
    starlark.eval(module, starlark.parse("Tiltfile", TILTFILE.read_text(), dialect), known)
    return asked


def _builtins(asked: Asked, arguments: Mapping[str, str | bool]) -> Mapping[str, Callable[..., Any]]:
    def k8s_yaml(source: Any) -> None:
        asked.yaml.extend(source if isinstance(source, list) else [source])

    def k8s_resource(workload: str = "", **options: Any) -> None:
        asked.workloads.append({"workload": workload, **options})

    def docker_build(ref: str, context: str, **options: Any) -> None:
        asked.images.append({"ref": ref, "context": context, **options})

    def local_resource(name: str, **options: Any) -> None:
        asked.locals.append({"name": name, **options})

    return {
        "version_settings": lambda **options: asked.versions.append(options["constraint"]),
        "allow_k8s_contexts": asked.contexts.append,
        "k8s_namespace": lambda: NAMESPACE,
        "k8s_yaml": k8s_yaml,
        "k8s_resource": k8s_resource,
        "docker_build": docker_build,
        "local_resource": local_resource,
        "helm": lambda chart, **options: {"chart": chart, **options},
        "sync": lambda source, target: {"sync": source, "to": target},
        "fall_back_on": lambda paths: {"fall_back_on": paths},
        "probe": lambda **options: options,
        "http_get_action": lambda **options: options,
        "link": lambda url, name: {"url": url, "name": name},
        "_define": lambda name, usage: asked.defined.append(name) if usage else None,
        "_parse": lambda: dict(arguments),
    }


def _documents(path: str) -> Sequence[Manifest]:
    import yaml  # noqa: PLC0415  here alone

    return list(yaml.safe_load_all((ROOT / path).read_text()))
