"""Reads a dashboard as Grafana does: which panels there are, what they ask, and what stands for each variable."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

FOLDER = Path(__file__).parents[2] / "charts/sluice/dashboards"
Read: TypeAlias = Mapping[str, Any]
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_SPECIAL = re.compile(r"[$^*{}\[\]'+?.()|]")


def dashboards() -> Mapping[str, Read]:
    """Every dashboard of the chart, by the name of its file."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))}


def panels(dashboard: Read) -> Sequence[Read]:
    """Panels that show something; headings do not."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard: Read) -> Iterator[str]:
    """All that is ever asked of Prometheus' query language."""
    yield from (target["expr"] for panel in panels(dashboard) for target in panel["targets"])
    yield from (annotation["expr"] for annotation in dashboard["annotations"]["list"])


def variables(dashboard: Read) -> Sequence[Read]:
    """Those whose values are asked of Prometheus, in the order in which they stand for something."""
    return [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]


@dataclass(frozen=True, slots=True)
class LabelValues:
    """A variable's query: ``label_values(of, label)``."""

    of: str
    label: str

    @classmethod
    def read(cls, query: str) -> "LabelValues":
        """Raises AssertionError for anything else."""
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found, query
        return cls(found[1], found[2])


def chosen(variable: Read, options: Sequence[str]) -> str:
    """The value of an untouched variable whose options are these: All, or the first, or nothing."""
    if not variable["includeAll"]:
        return options[0] if options else ""
    if "allValue" in variable:
        return str(variable["allValue"])
    escaped = [_SPECIAL.sub(r"\\\\\g<0>", option) for option in options]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def substituted(text: str, values: Mapping[str, str]) -> str:
    """The text with every variable's value. Raises KeyError for an unknown one."""
    return _VARIABLE.sub(lambda found: values[found[1] or found[2]], text)
