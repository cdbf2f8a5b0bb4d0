"""The metrics that the services export."""

import importlib
import re
from functools import cache

from sluice.chassis.metrics import render

CHASSIS = ("postgres", "jetstream", "error_log", "secret", "loop_lag")
MODULES = ("ingest.metrics", "processor.metrics", "healthd.metrics", *(f"sluice.chassis.{name}" for name in CHASSIS))


@cache
def shown_metrics() -> frozenset[str]:
    """Their names."""
    for module in MODULES:
        importlib.import_module(module)
    return frozenset(re.findall(r"^# TYPE (\S+) ", render().decode(), re.MULTILINE))
