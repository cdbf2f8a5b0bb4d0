"""Metrics of our endpoint at Stripe; only the replica that works shows them."""

from collections.abc import Collection

from reconciler.endpoint.findings import WEIGHTS, Name, Weight
from sluice.runtime import metrics

ENABLED = metrics.gauge(
    "endpoint_enabled", "1: our URL is registered at Stripe and enabled; 0: it is not, and nothing comes.", ("mode",)
)
FINDINGS = metrics.gauge(
    "endpoint_findings",
    "1 for what is wrong with our endpoint at Stripe; `sluice doctor` has the cure.",
    ("finding", "weight"),
)
LOOKED_AT = metrics.gauge(
    "endpoint_last_look_timestamp_seconds", "When Stripe last let us see our endpoint, Unix time.", ("mode",)
)
PINGS = metrics.counter(
    "endpoint_pings_total",
    "Pings of our thin destination at Stripe: sent, answered by their echo, or why one was not sent.",
    ("mode", "outcome"),
)
ECHO = metrics.gauge(
    "endpoint_ping_echo_timestamp_seconds",
    "When the newest ping that came the whole way was sent, Unix time; absent until there was one.",
    ("mode",),
)
CANARY_WAITS = metrics.gauge(
    "endpoint_ping_waits_seconds",
    "How long a ping has waited for an echo, since the last one that came; 0: none waits.",
    ("mode",),
)


def show(mode: str, *, is_enabled: bool, found: Collection[Name], at: float) -> None:
    """The result of a look."""
    ENABLED.labels(mode).set(float(is_enabled))
    LOOKED_AT.labels(mode).set(at)
    show_findings(found)


def show_findings(found: Collection[Name]) -> None:
    """Findings alone; whether the endpoint is enabled stays as it was seen last."""
    for name, weight in WEIGHTS.items():
        if weight is not Weight.NOTE:
            FINDINGS.labels(name.value, weight.value).set(float(name in found))


def forget() -> None:
    """Show nothing any more: another replica does."""
    for gauge in (ENABLED, FINDINGS, LOOKED_AT):
        gauge.clear()


def forget_canary() -> None:
    """Show no ping any more: another replica sends them."""
    for gauge in (ECHO, CANARY_WAITS):
        gauge.clear()
