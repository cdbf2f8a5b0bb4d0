"""An event that others hold up is charged nothing, and does not wait for ever."""

import pytest

from processor.failures.retry_policy import Schedule
from sluice.contract.event import StripeEvent
from sluice.outcomes import Outcome, Parked
from sluice.registry import Transaction, handles
from tests.processor.harness import Harness, Message, event, flat

HOUR = 3600


@pytest.fixture
def contended(harness: Harness) -> Harness:
    """A harness where ``test.locked`` meets a lock, and what it raises can be changed."""
    harness.schedule = Schedule(over_seconds=72 * HOUR, spread=flat(60))

    @handles("test.locked", registry=harness.registry)
    async def meet(_: StripeEvent, tx: Transaction) -> None:
        await tx.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '55P03'; END $$")

    @handles("test.fails", registry=harness.registry)
    async def fail(_: StripeEvent, __: Transaction) -> None:
        raise LookupError

    @handles("test.parks", registry=harness.registry)
    async def park(_: StripeEvent, __: Transaction) -> Outcome:
        return Parked("events row 42")

    return harness


async def test_its_row_says_since_when_and_the_first_time_is_told(contended: Harness) -> None:
    """One warning for however many times; no attempt is counted."""
    [message] = await contended.recorded(event("test.locked"))
    await contended.take(message)
    first = await contended.row(message.event)
    for _ in range(3):
        await contended.take(Message(message.event))
    row = await contended.row(message.event)
    assert row["postponed_at"] == first["postponed_at"] is not None
    assert (row["processing_attempts"], row["dead_at"]) == (0, None)
    [told] = await contended.error_rows()
    assert (told["severity"], told["stripe_event_id"]) == ("warning", message.event.stripe_event_id)
    assert "postponed: LockNotAvailableError 55P03" in told["message"]


async def test_it_dies_visibly_when_that_lasts_for_as_long_as_all_attempts_may(contended: Harness) -> None:
    """Not an hour before; then with its reason, an attempt and a critical error."""
    [message] = await contended.recorded(event("test.locked"))
    await contended.take(message)
    await contended.set_row(message.event, "postponed_at = now() - interval '71 hours'")
    await contended.take(Message(message.event))
    assert (await contended.row(message.event))["dead_at"] is None
    await contended.set_row(message.event, "postponed_at = now() - interval '73 hours'")
    last = Message(message.event)
    await contended.take(last)
    row = await contended.row(message.event)
    assert (row["processing_attempts"], row["outcome"], row["dead_at"] is not None) == (1, "failed", True)
    assert row["last_error"].startswith("given up after 3 days 01:00")
    assert "55P03" in row["last_error"]
    assert last.is_acknowledged
    assert [row["severity"] for row in await contended.error_rows()] == ["warning", "critical"]


async def test_a_replay_begins_afresh(contended: Harness) -> None:
    """The first lock that it meets does not kill it again."""
    [message] = await contended.recorded(event("test.locked"))
    await contended.take(message)
    await contended.set_row(message.event, "postponed_at = now() - interval '73 hours'")
    await contended.take(Message(message.event))
    await contended.set_row(message.event, "dead_at = NULL, outcome = NULL, processing_attempts = 0")
    await contended.take(Message(message.event))
    assert (await contended.row(message.event))["dead_at"] is None


@pytest.mark.parametrize("event_type", ["test.fails", "test.parks"])
async def test_what_was_held_up_and_then_ran_is_held_up_no_more(contended: Harness, event_type: str) -> None:
    """Three days of locks are counted in one piece."""
    [message] = await contended.recorded(event(event_type))
    await contended.set_row(message.event, "postponed_at = now() - interval '71 hours'")
    await contended.take(message)
    row = await contended.row(message.event)
    assert (row["processing_attempts"], row["postponed_at"]) == (1, None)


async def test_a_message_of_an_attempt_that_has_passed_postpones_nothing(contended: Harness) -> None:
    """Nor what is processed or dead."""
    rows = await contended.recorded(event("test.locked"), event("test.locked"))
    await contended.set_row(rows[0].event, "processed = true")
    await contended.set_row(rows[1].event, "processing_attempts = 4")
    for message in rows:
        found = await contended.database.fetch(
            "SELECT * FROM sluice_postpone_webhook($1, 0, 'no', 1)", message.event.stripe_event_id
        )
        assert found == []
