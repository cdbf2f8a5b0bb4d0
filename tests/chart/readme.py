"""The chart's README, made from Chart.yaml and from the comments in values.yaml: ``python -m tests.chart.readme``."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chart.helm import CHART, read

README = CHART / "README.md"
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[a-zA-Z]+):")
_COMMENT = re.compile(r"^ *# -- (?P<text>.*)$")

_HEAD = """# The chart sluice

{description}

```sh
helm upgrade --install sluice charts/sluice --namespace payments --set secrets.name=sluice
helm test sluice --namespace payments --logs
```

Kubernetes {kube_version}. [docs/kubernetes.md](../../docs/kubernetes.md) leads from an empty cluster to the first
processed webhook, and on; values files for production and development are in [charts/values](../values/README.md).

What is not in this table is refused by `values.schema.json`. What has no value here can be merged over the Deployments
(`ingest.deployment` and so on) or added (`extraObjects`).

| value | default | |
|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """One value: its path, its default and the sentence in its comment."""

    name: str
    default: str
    comment: str


def rows() -> Sequence[Row]:
    """Every value that a comment describes, in the order of the file."""
    values = read(CHART / "values.yaml")
    return [Row(".".join(path), _default(values, path), comment) for path, comment in _described()]


def render_readme() -> str:
    """The whole page."""
    chart = read(CHART / "Chart.yaml")
    head = _HEAD.format(description=chart["description"], kube_version=chart["kubeVersion"].removesuffix("-0"))
    return head + "".join(f"| `{row.name}` | `{row.default}` | {row.comment} |\n" for row in rows())


def _described() -> Iterator[tuple[tuple[str, ...], str]]:
    path: list[str] = []
    comment = ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        if found := _COMMENT.match(line):
            comment = found["text"].replace("|", "\\|")
        elif found := _KEY.match(line):
            path = [*path[: len(found["indent"]) // 2], found["key"]]
            if comment:
                yield tuple(path), comment
            comment = ""


def _default(values: Any, path: Sequence[str]) -> str:
    for key in path:
        values = values[key]
    return json.dumps(values)


if __name__ == "__main__":
    README.write_text(render_readme())
