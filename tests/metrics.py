"""Read this process's counters as Prometheus would."""

import re

from sluice.runtime.metrics import render


def counted(name: str, **labels: str) -> float | None:
    """The value of one series; None where there is none."""
    written = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    series = re.escape(f"{name}{{{written}}}" if written else name)
    found = re.search(rf"^{series} (\S+)$", render().decode(), re.MULTILINE)
    return None if found is None else float(found[1])
