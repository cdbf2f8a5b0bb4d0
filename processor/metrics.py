"""Every metric of the processor; no label holds an id, and types without a handler are ``other``."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from processor.failures.classify import Blame
from sluice.runtime import metrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_AGES = (1, 2, 3, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400, 259_200)
_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

OUTCOMES = metrics.counter(
    "webhook_events_processed_total", "Messages by what became of them.", labels=("event_type", "outcome")
)
DEAD = metrics.counter("webhook_events_dead_total", "Events that died, by their last outcome.", labels=("outcome",))
FAILURES = metrics.counter(
    "webhook_transaction_failures_total", "Transactions that failed, by whose fault it was.", labels=("blame",)
)
REDELIVERED = metrics.counter("webhook_messages_redelivered_total", "Messages that were delivered more than once.")
UNREADABLE = metrics.counter("webhook_messages_unreadable_total", "Messages outside the contract, set aside.")
FORGED = metrics.counter(
    "webhook_messages_forged_total", "Messages that did not hold what their row holds; they were not run."
)
DELAY_SECONDS = metrics.histogram(
    "webhook_processing_delay_seconds", "From the receipt to the processed row.", labels=(), buckets=_SECONDS
)
AGE_SECONDS = metrics.histogram(
    "webhook_effect_age_seconds", "From Stripe's created, whole seconds, to the effect.", labels=(), buckets=_AGES
)
HANDLER_SECONDS = metrics.histogram(
    "webhook_handler_duration_seconds", "One call of a handler.", labels=("handler",), buckets=_SECONDS
)
LOOP_HELD_SECONDS = metrics.histogram(
    "webhook_handler_loop_held_seconds",
    "Steps in which a handler kept the event loop from turning, of a tenth of a second and more.",
    labels=("handler",),
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
ESCAPED = metrics.counter(
    "webhook_handlers_escaped_total", "Calls of a handler that went on after they were cancelled.", labels=("handler",)
)
DEFERRED = metrics.counter(
    "webhook_events_deferred_total", "Events that the relay brings back later, for their side worker's queue was full."
)
LET_GO = metrics.counter("webhook_events_resumed_total", "Webhooks that a pause which ended let go; they are due then.")
MISSING = metrics.counter("webhook_events_missing_total", "Events of the stream whose row PostgreSQL has lost.")
LAST_PING = metrics.gauge(
    "webhook_last_ping_timestamp_seconds",
    "When the newest ping of our destination at Stripe was processed, Unix time; absent until there was one.",
    labels=("mode",),
)
BATCH_EVENTS = metrics.histogram("webhook_batch_events", "Messages in one fetch.", labels=(), buckets=_EVENTS)
TAKEN_DIRECTLY = metrics.counter(
    "webhook_events_taken_directly_total", "Webhooks that were taken from PostgreSQL, because the stream brought none."
)
DIRECT = metrics.gauge("processor_direct", "1 while due webhooks are taken from PostgreSQL and not from the stream.")
LAST_TURN = metrics.gauge("processor_last_turn_timestamp_seconds", "When the work loop last turned, Unix time.")
IN_OUTAGE = metrics.gauge("processor_outage", "1 while work waits for PostgreSQL.")
ERRORS_SUPPRESSED = metrics.counter(
    "webhook_error_rows_suppressed_total", "Failures that were too many for a row each in error_logs."
)

# An increase from nothing is no increase to Prometheus: what alerts and panels count starts at zero.
for _outcome in ("failed", "unsupported"):
    DEAD.labels(_outcome)
for _blame in Blame:
    FAILURES.labels(_blame.value)


def expect(event_types: Iterable[str]) -> None:
    """The types whose usual outcomes are counted from zero too, for the first failure shall be seen as one."""
    for event_type in (*event_types, "other"):
        for word in ("applied", "failed", "parked", "unmatched"):
            outcome(event_type, word)


@lru_cache(maxsize=1024)
def outcome(event_type: str, word: str) -> metrics.Counter:
    """Where to count a message of a known type, or of ``other``."""
    return OUTCOMES.labels(event_type, word)


@contextmanager
def timed_handler(handler: str) -> Iterator[None]:
    """Observe how long one call of a handler takes, failed ones too."""
    started = time.monotonic()
    try:
        yield
    finally:
        HANDLER_SECONDS.labels(handler).observe(time.monotonic() - started)
