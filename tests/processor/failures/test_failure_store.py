"""Retries, parking and death, all of them in PostgreSQL."""

import json
import time

import pytest

from processor.failures.classify import Blame
from processor.failures.retry_policy import Patience, Schedule
from processor.outcome import Duplicate, Failed, Work
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.failures import MalformedEvent
from sluice.outcomes import Outcome, Parked
from sluice.registry import Transaction, handles
from tests.processor.harness import Harness, Message, event, flat, write_effect

SECRET = "jane@example.org"


@pytest.fixture
def failing(harness: Harness) -> Harness:
    """A harness whose handler of ``test.fails`` writes its effect and then raises, quoting the customer."""

    @handles("test.fails", registry=harness.registry)
    async def fail(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        raise ValueError(SECRET)

    return harness


async def test_a_failed_attempt_is_on_record_and_due_again(failing: Harness) -> None:
    """The count, the error and the next time are one commit; the effects are none; the message is done with."""
    failing.schedule = Schedule(spread=flat(60))
    [message] = await failing.recorded(event("test.fails"))
    await failing.take(message)
    row = await failing.row(message.event)
    assert (row["processed"], row["processing_attempts"], row["outcome"]) == (False, 1, "failed")
    assert row["published_at"] is None
    assert row["dead_at"] is None
    assert await failing.database.fetch(
        "SELECT 1 FROM webhook_logs WHERE next_attempt_at BETWEEN now() + interval '50s' AND now() + interval '60s'"
    )
    assert await failing.effects() == {}
    assert message.is_acknowledged


async def test_a_failure_is_reported_without_personal_data(failing: Harness) -> None:
    """last_error and error_logs say class, handler and place, and quote nothing."""
    [message] = await failing.recorded(event("test.fails"))
    await failing.take(message)
    [reported] = await failing.error_rows()
    row = await failing.row(message.event)
    assert "ValueError in handler tests.processor.failures.test_failure_store.failing" in row["last_error"]
    assert (reported["severity"], reported["kind"]) == ("error", "webhook")
    assert (reported["stripe_event_id"], reported["event_id"]) == (message.event.stripe_event_id, None)
    assert "ValueError" in reported["stack_trace"]
    assert SECRET not in repr(dict(reported)) + row["last_error"]


async def test_a_failure_names_the_row_and_the_person_that_the_webhook_names(failing: Harness) -> None:
    """event_id is events.id, the organiser's URL first; user_id is whom the webhook is about."""

    @handles("test.fails_for_all", registry=failing.registry, organisers=True)
    async def fail(of: StripeEvent, tx: Transaction) -> None:
        raise ValueError

    thing = {"id": "ch_1", "object": "charge", "customer": "cus_9", "metadata": {"event_id": "gala-24"}}
    plain = event("test.fails_for_all")
    body = json.dumps(json.loads(plain.body) | {"data": {"object": thing}}).encode()
    events = [read_event(body), read_event(body, tenant="fair-24")]
    await failing.take(*await failing.recorded(*events))
    rows = {row["stripe_event_id"]: row for row in await failing.error_rows()}
    assert {key: (row["event_id"], row["user_id"]) for key, row in rows.items()} == {
        plain.stripe_event_id: ("gala-24", "cus_9"),
        f"{plain.stripe_event_id}@fair-24": ("fair-24", "cus_9"),
    }


async def test_the_last_attempt_leaves_a_dead_row_and_a_critical_error(failing: Harness) -> None:
    """After as many attempts as configured the event is visibly dead, with its reason, and no sooner."""
    failing.schedule = Schedule(attempts=3, spread=flat(0))
    poison = event("test.fails")
    await failing.record(poison)
    for attempt in range(3):
        assert (await failing.row(poison))["dead_at"] is None
        await failing.take(Message(poison, attempt=attempt))
    row = await failing.row(poison)
    assert (row["processing_attempts"], row["outcome"], row["dead_at"] is not None) == (3, "failed", True)
    assert [row["severity"] for row in await failing.error_rows()] == ["error", "error", "critical"]


async def test_an_event_that_recovers_is_processed_with_its_attempts_kept(harness: Harness) -> None:
    """A replayed attempt that succeeds settles the row; the count stays for who asks why it took so long."""
    healed = event()
    await harness.record(healed, attempts=4)
    await harness.take(Message(healed, attempt=4))
    row = await harness.row(healed)
    assert (row["processed"], row["processing_attempts"]) == (True, 4)


async def test_a_failure_of_a_passed_attempt_is_not_counted(harness: Harness) -> None:
    """Two processors that fail the same attempt count it once; one that fails a processed event counts nothing."""
    poison, done = await harness.recorded(event(), event())
    failure_store = harness.worker().failure_store
    works = [Work(message.event, 0, message.incoming()) for message in (poison, done)]
    assert isinstance(await failure_store.record(works[0], ValueError(), Blame.EVENT), Failed)
    assert await failure_store.record(works[0], ValueError(), Blame.EVENT) == Duplicate()
    await harness.take(done)
    assert await failure_store.record(works[1], ValueError(), Blame.HOPELESS) == Duplicate()
    assert (await harness.row(poison.event))["processing_attempts"] == 1
    assert (await harness.row(done.event))["processing_attempts"] == 0


async def test_input_that_can_never_succeed_is_dead_at_once(harness: Harness) -> None:
    """A handler that rejects the event for good needs no sixteen attempts."""

    @handles("test.rejects", registry=harness.registry)
    async def reject(_: StripeEvent, __: Transaction) -> None:
        raise MalformedEvent

    [message] = await harness.recorded(event("test.rejects"))
    await harness.take(message)
    row = await harness.row(message.event)
    assert (row["dead_at"] is not None, row["processing_attempts"], row["outcome"]) == (True, 1, "failed")


@pytest.fixture
def parking(harness: Harness) -> Harness:
    """A harness whose handler of ``test.parks`` writes its facts and waits for a row."""

    @handles("test.parks", registry=harness.registry)
    async def park(of: StripeEvent, tx: Transaction) -> Outcome:
        await write_effect(of, tx)
        return Parked("events row 42")

    return harness


async def test_a_parked_event_keeps_its_facts_and_looks_again(parking: Harness) -> None:
    """The facts commit; the row says what it waits for, since when, and when it looks again."""
    parking.patience = Patience(spread=flat(30))
    parked = event("test.parks")
    await parking.record(parked)
    message = Message(parked)
    await parking.take(message)
    row = await parking.row(parked)
    assert (row["outcome"], row["processed"], row["processing_attempts"]) == ("parked", False, 1)
    assert row["last_error"] == "waits for events row 42"
    assert row["published_at"] is None
    assert row["dead_at"] is None
    assert await parking.effects() == {parked.stripe_event_id: 1}
    assert message.is_acknowledged
    await parking.take(Message(parked, attempt=1))
    assert (await parking.row(parked))["parked_at"] == row["parked_at"]


async def test_parking_ends_with_patience_not_with_attempts(parking: Harness) -> None:
    """A parked event looks a thousand times in its seven days, and ends after them without an alarm."""
    parked = event("test.parks")
    await parking.record(parked, attempts=900)
    await parking.set_row(parked, "parked_at = now() - interval '6 days 23 hours'")
    await parking.take(Message(parked, attempt=900))
    assert (await parking.row(parked))["dead_at"] is None
    await parking.set_row(parked, "parked_at = now() - interval '7 days 1 second'")
    await parking.take(Message(parked, attempt=901))
    row = await parking.row(parked)
    assert (row["dead_at"], row["outcome"], row["processed"]) == (None, "unmatched", True)
    assert await parking.error_rows() == []


async def test_one_failure_does_not_end_an_event_that_waited_long(failing: Harness) -> None:
    """Looking for a row is not failing: its count of looks must not use up the attempts."""
    patient = event("test.fails")
    await failing.record(patient, attempts=500)
    await failing.set_row(patient, "parked_at = now() - interval '1 day'")
    await failing.take(Message(patient, attempt=500))
    assert (await failing.row(patient))["dead_at"] is None


async def test_a_herd_of_failures_leaves_a_bounded_number_of_error_rows(failing: Harness) -> None:
    """Each failure is in its own row of webhook_logs; error_logs is for people."""
    messages = await failing.recorded(*(event("test.fails") for _ in range(80)))
    began = time.monotonic()
    await failing.take(*messages)
    seconds = time.monotonic() - began
    assert all(message.is_acknowledged for message in messages)
    rows = await failing.database.fetch("SELECT count(*) AS failed FROM webhook_logs WHERE processing_attempts = 1")
    assert rows[0]["failed"] == 80
    assert 50 <= len(await failing.error_rows()) <= 51 + 5 * seconds
