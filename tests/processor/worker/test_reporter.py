"""Metrics of the processor."""

import json
import time

import pytest

from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.registry import Transaction, handles
from tests.metrics import counted
from tests.processor.harness import Harness, Message, event

AGE_SECONDS = 7200


def aged_event(age_seconds: float) -> StripeEvent:
    """An event that Stripe made so long ago."""
    made = event()
    return read_event(json.dumps(json.loads(made.body) | {"created": int(time.time() - age_seconds)}).encode())


def now(name: str, **labels: str) -> float:
    """The value of a series that has to be there."""
    value = counted(name, **labels)
    assert value is not None, name
    return value


async def test_the_age_of_an_effect_counts_from_stripes_created(harness: Harness) -> None:
    """Two hours, most of which Stripe kept the event to itself: the delay since the receipt says nothing of them."""
    age, delay = now("webhook_effect_age_seconds_sum"), now("webhook_processing_delay_seconds_sum")
    effects = now("webhook_effect_age_seconds_count")
    await harness.take(*await harness.recorded(aged_event(AGE_SECONDS)))
    assert now("webhook_effect_age_seconds_count") == effects + 1
    assert now("webhook_effect_age_seconds_sum") - age == pytest.approx(AGE_SECONDS, abs=60)
    assert now("webhook_processing_delay_seconds_sum") - delay < 60


async def test_a_future_created_is_an_age_of_zero(harness: Harness) -> None:
    """Stripe's clock before ours takes nothing off the sum."""
    age = now("webhook_effect_age_seconds_sum")
    await harness.take(*await harness.recorded(aged_event(-AGE_SECONDS)))
    assert now("webhook_effect_age_seconds_sum") == age


async def test_what_has_no_effect_has_no_age(harness: Harness) -> None:
    """A failed attempt, a webhook that PostgreSQL lost and a copy of one that is processed say nothing of effects."""

    @handles("test.fails", registry=harness.registry)
    async def fail(of: StripeEvent, tx: Transaction) -> None:
        raise ValueError

    [done, failing] = await harness.recorded(event(), event("test.fails"))
    await harness.take(done)
    effects = now("webhook_effect_age_seconds_count")
    await harness.take(failing, Message(event()), done.again())
    assert now("webhook_effect_age_seconds_count") == effects


async def test_a_webhook_that_postgresql_lost_is_counted_once(harness: Harness) -> None:
    """However often its message comes; each lost webhook counts."""
    missing = now("webhook_events_missing_total")
    lost, also_lost = Message(event()), Message(event())
    await harness.take(*await harness.recorded(event()), lost)
    assert now("webhook_events_missing_total") == missing + 1
    worker = harness.worker()
    for messages in ([lost, also_lost], [lost.again()], [also_lost.again()]):
        await worker.take([message.incoming() for message in messages])
    assert now("webhook_events_missing_total") == missing + 3  # a new process counts what it sees anew


async def test_the_first_failure_of_a_type_is_an_increase(harness: Harness) -> None:
    """Its count stands at zero before, as that of each handled type; of others only ``other`` does."""

    @handles("test.fails_at_first", registry=harness.registry)
    async def fail(of: StripeEvent, tx: Transaction) -> None:
        raise ValueError

    harness.worker()
    labels = {"event_type": "test.fails_at_first", "outcome": "failed"}
    assert now("webhook_events_processed_total", **labels) == 0
    await harness.take(*await harness.recorded(event("test.fails_at_first")))
    assert now("webhook_events_processed_total", **labels) == 1
    assert now("webhook_events_processed_total", event_type="other", outcome="failed") == 0
