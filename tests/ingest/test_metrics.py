"""Every counter of ingest is there from the start."""

import ingest.auth.signature
import ingest.errors
import sluice.failures
from ingest import metrics
from sluice.failures import Failure
from sluice.payments.families import EVENT_TYPES
from tests.metrics import counted

NEVER_ANSWERED = {"stream_unavailable", "too_many_facts", "unknown_contract_version"}
"""Failures of what happens after the answer."""


def test_every_refusal_is_counted_from_zero() -> None:
    """Prometheus sees no increase in a count that begins at one, so the first refusal of a kind would be missed."""
    modules = (sluice.failures, ingest.errors, ingest.auth.signature)
    named = [thing for module in modules for thing in vars(module).values() if isinstance(thing, type)]
    codes = {failure.code for failure in named if issubclass(failure, Failure)}
    assert codes - NEVER_ANSWERED == metrics.REFUSALS
    assert all(counted("webhook_requests_refused_total", code=code) is not None for code in codes - NEVER_ANSWERED)


def test_every_known_type_is_counted_from_zero() -> None:
    """And those that Sluice has no name for, too."""
    for event_type in (*EVENT_TYPES, "other"):
        for outcome in ("recorded", "duplicate"):
            assert counted("webhook_events_received_total", event_type=event_type, outcome=outcome) is not None
