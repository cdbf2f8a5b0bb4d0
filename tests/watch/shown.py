"""The metrics that the services export."""

import importlib
import re
from functools import cache

from sluice.runtime.metrics import render

SHARED = (
    "sluice.postgres.pool",
    "sluice.nats.jetstream",
    "sluice.error_log.error_log",
    "sluice.runtime.secrets",
    "sluice.runtime.loop_lag",
)
MODULES = (
    "ingest.metrics",
    "processor.metrics",
    "healthd.metrics",
    "reconciler.metrics",
    "reconciler.endpoint.metrics",
    *SHARED,
)


@cache
def shown_metrics() -> frozenset[str]:
    """Their names."""
    for module in MODULES:
        importlib.import_module(module)
    return frozenset(re.findall(r"^# TYPE (\S+) ", render().decode(), re.MULTILINE))
