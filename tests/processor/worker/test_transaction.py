"""One transaction: claim, handle, settle; the effects and ``processed = true`` are one commit."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from processor.failures.retry_policy import Patience
from processor.outcome import Claimed, Work
from processor.worker.transaction import Processor
from sluice.contract.event import StripeEvent
from sluice.inbox.claims import TransactionLimits, claim
from sluice.outcomes import Applied, Ignored, Outcome, Parked
from sluice.postgres.pool import Connection
from sluice.registry import Transaction, handles, handles_batch
from tests.processor.harness import Harness, Message, event, with_effects, write_effect

_READ = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'webhook_logs'"


async def test_an_event_takes_effect_once_and_its_row_says_so(harness: Harness) -> None:
    """Effect, processed, outcome and acknowledgement of a plain event."""
    [message] = await harness.recorded(event())
    await harness.take(message)
    row = await harness.row(message.event)
    assert (row["processed"], row["outcome"], row["processing_attempts"]) == (True, "applied", 0)
    assert row["processed_at"] >= row["created_at"]
    assert row["published_at"] is None
    assert await harness.effects() == {message.event.stripe_event_id: 1}
    assert message.acknowledgements == 1


async def test_cached_claim_plan_uses_key_lookup(harness: Harness) -> None:
    """All that waits is in one small index while nothing waits; a plan that is kept must not have chosen that."""
    async with harness.database.acquire() as connection:
        undo = connection.transaction()
        await undo.start()
        await connection.execute("ANALYZE webhook_logs")
        await _claim(connection, "evt_before")
        await connection.execute(
            "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, published_at) "
            "SELECT 'evt_' || n, 'test.effect', '{}', now() FROM generate_series(1, 5000) AS n"
        )
        before = await connection.fetchval(_READ)
        assert await _claim(connection, "evt_1") == ["evt_1"]
        assert await connection.fetchval(_READ) - before == 1
        await undo.rollback()


@pytest.mark.parametrize(
    ("parked_at", "is_last_look"),
    [("NULL", False), ("now() - interval '59 seconds'", False), ("now() - interval '61 seconds'", True)],
)
async def test_a_claim_says_whether_patience_ends(harness: Harness, parked_at: str, is_last_look: bool) -> None:
    """By PostgreSQL's clock, for a patience of 60 seconds; what still waits after this run ends."""
    [message] = await harness.recorded(event())
    await harness.set_row(message.event, f"parked_at = {parked_at}")
    harness.patience = Patience(patience_seconds=60)
    processor = harness.worker().processor
    assert isinstance(processor, Processor)
    work = Work(message.event, 0, message.incoming())
    async with harness.database.acquire() as connection, connection.transaction():
        claimed = await processor._claim(connection, [work], isolated=False, lock_seconds=1)
    assert claimed.rows == {message.event.stripe_event_id: Claimed(message.event, is_last_look)}
    assert int(claimed.transaction) > 0


async def _claim(tx: Connection, event_id: str) -> list[str]:
    limits = TransactionLimits(statement="5000", lock="2000", idle="5000")
    rows = await claim(tx, {event_id: 0}, [None], is_isolated=False, patience_seconds=60.0, limits=limits)
    return [row["stripe_event_id"] for row in rows]


async def test_a_message_delivered_again_after_the_commit_changes_nothing(harness: Harness) -> None:
    """A process that dies between commit and acknowledgement leaves a message that meets processed = true."""
    [message] = await harness.recorded(event())
    await harness.take(message)
    again = message.again()
    await harness.take(again)
    assert await harness.effects() == {message.event.stripe_event_id: 1}
    assert again.is_acknowledged
    assert (await harness.row(message.event))["solo_starts"] == 0


async def test_the_same_event_twice_in_one_fetch_takes_effect_once(harness: Harness) -> None:
    """The relay may publish a row twice; both copies are acknowledged."""
    [message] = await harness.recorded(event())
    copy = Message(message.event)
    await harness.take(message, copy)
    assert await harness.effects() == {message.event.stripe_event_id: 1}
    assert message.is_acknowledged
    assert copy.is_acknowledged


@pytest.mark.parametrize("attempt", [0, 2, 9])
async def test_a_message_of_another_attempt_is_acknowledged_and_not_run(harness: Harness, attempt: int) -> None:
    """A stale copy costs one comparison."""
    stale = event()
    await harness.record(stale, attempts=1)
    message = Message(stale, attempt=attempt)
    await harness.take(message)
    assert message.is_acknowledged
    assert await harness.effects() == {}
    assert not (await harness.row(stale))["processed"]


async def test_a_dead_event_stays_dead(harness: Harness) -> None:
    """A late copy of a dead event's message is acknowledged and runs nothing."""
    [message] = await harness.recorded(event())
    await harness.set_row(message.event, "dead_at = now()")
    await harness.take(message)
    assert message.is_acknowledged
    assert await harness.effects() == {}


async def test_a_row_that_another_processor_holds_is_left_to_come_again(harness: Harness) -> None:
    """A locked row delays no other and its message stays unacknowledged."""
    locked, free = await harness.recorded(event(), event())
    async with harness.database.acquire() as other, other.transaction():
        await other.execute(
            "SELECT 1 FROM webhook_logs WHERE stripe_event_id = $1 FOR UPDATE", locked.event.stripe_event_id
        )
        async with asyncio.timeout(2):
            await harness.take(locked, free)
    assert not locked.is_acknowledged
    assert free.is_acknowledged
    assert await harness.effects() == {free.event.stripe_event_id: 1}


async def test_an_event_without_a_row_is_named_once_and_not_processed(harness: Harness) -> None:
    """A webhook lost in an asynchronous failover is never processed as it is; the stream keeps the message."""
    lost, worker = Message(event()), harness.worker()
    for _ in range(3):
        await worker.take([lost.incoming()])
    assert lost.acknowledgements == 3
    assert await harness.effects() == {}
    [row] = await harness.error_rows()
    assert (row["severity"], row["kind"]) == ("critical", "webhook")
    assert lost.event.stripe_event_id in row["message"]


async def test_bytes_outside_the_contract_are_set_aside(harness: Harness) -> None:
    """A stranger's message costs its neighbours nothing and is reported."""
    stranger = Message(event(), payload=b"\xff\xff not protobuf")
    [message] = await harness.recorded(event())
    await harness.take(stranger, message)
    assert stranger.is_acknowledged
    assert message.is_acknowledged
    [row] = await harness.error_rows()
    assert row["severity"] == "critical"


async def test_an_unknown_type_is_processed_as_ignored(harness: Harness) -> None:
    """New types of Stripe's arrive without notice and are no fault."""
    [message] = await harness.recorded(event("galaxy.collided"))
    await harness.take(message)
    row = await harness.row(message.event)
    assert (row["processed"], row["outcome"]) == (True, "ignored")


async def test_an_organisers_event_is_not_given_to_a_handler_that_did_not_ask(harness: Harness) -> None:
    """Its claims are the organiser's word; it is settled like an event without a handler."""
    theirs = replace(event(), stripe_event_id="evt_1@7", tenant="7")
    await harness.take(*await harness.recorded(theirs))
    row = await harness.row(theirs)
    assert (row["processed"], row["outcome"]) == (True, "ignored")
    assert await harness.effects() == {}


async def test_a_test_mode_event_has_no_effect_in_production(harness: Harness) -> None:
    """Connect sends test events to live endpoints too."""
    test, live = await harness.recorded(event(livemode=False), event(livemode=True))
    await replace(harness, is_production=True).take(test, live)
    assert (await harness.row(test.event))["outcome"] == "ignored"
    assert await harness.effects() == {live.event.stripe_event_id: 1}


async def test_a_body_too_large_for_the_stream_is_read_from_the_row(harness: Harness) -> None:
    """A message by reference carries no body; the handler sees it all the same."""
    seen: list[object] = []

    @handles("test.large", registry=harness.registry)
    async def look(of: StripeEvent, _: Transaction) -> None:
        seen.append(of.object["amount"])

    [message] = await harness.recorded(event("test.large"))
    await harness.take(replace(message, event=replace(message.event, body=b"")))
    assert seen == [4200]
    assert (await harness.row(message.event))["processed"]


async def test_one_handler_gets_a_batch_in_one_call(harness: Harness) -> None:
    """A handler of many events sees all that concern it, also those of several types, at once."""
    calls: list[set[str]] = []

    @handles_batch("test.one", "test.two", registry=harness.registry)
    async def all_at_once(events: Sequence[StripeEvent], _: Transaction) -> Mapping[str, Outcome]:
        calls.append({each.stripe_event_id for each in events})
        return {events[0].stripe_event_id: Ignored("nothing to do")}

    messages = await harness.recorded(event("test.one"), event("test.two"), event())
    await harness.take(*messages)
    assert calls == [{messages[0].event.stripe_event_id, messages[1].event.stripe_event_id}]
    assert [(await harness.row(message.event))["outcome"] for message in messages] == ["ignored", "applied", "applied"]


async def test_several_handlers_of_one_type_all_run(harness: Harness) -> None:
    """Their outcomes combine: waiting beats done."""

    @handles("test.effect", registry=harness.registry)
    async def waits(_: StripeEvent, __: Transaction) -> Outcome:
        return Parked("events row 7")

    [message] = await harness.recorded(event())
    await harness.take(message)
    assert (await harness.row(message.event))["outcome"] == "parked"
    assert await harness.effects() == {message.event.stripe_event_id: 1}


async def test_a_parked_event_has_the_other_handlers_effects_once(harness: Harness) -> None:
    """A handler of one event would commit its writes with each look; so it is asked when the waiting is over."""
    looks: Iterator[Outcome] = iter([Parked("events row 7"), Parked("events row 7"), Applied()])

    @handles_batch("test.effect", registry=harness.registry)
    async def look(events: Sequence[StripeEvent], _: Transaction) -> Mapping[str, Outcome]:
        return {each.stripe_event_id: next(looks) for each in events}

    [message] = await harness.recorded(event())
    for attempt in range(3):
        assert await harness.effects() == {}
        await harness.take(Message(message.event, attempt=attempt))
    assert (await harness.row(message.event))["outcome"] == "applied"
    assert await harness.effects() == {message.event.stripe_event_id: 1}


async def test_a_swallowed_sql_error_is_the_handlers_failure(harness: Harness) -> None:
    """PostgreSQL would answer COMMIT with a silent ROLLBACK; the settling statement meets it before that."""

    @handles("test.swallows", registry=harness.registry)
    async def swallow(of: StripeEvent, tx: Transaction) -> Outcome:
        await write_effect(of, tx)
        try:
            await tx.execute("SELECT 1 / 0")
        except Exception:  # noqa: BLE001 - the mistake that this test is about
            return Applied()
        raise AssertionError

    swallowed, fine = await harness.recorded(event("test.swallows"), event())
    await harness.take(swallowed, fine)
    row = await harness.row(swallowed.event)
    assert (row["processed"], row["processing_attempts"], row["outcome"]) == (False, 1, "failed")
    assert "25P02" in row["last_error"]
    assert await harness.effects() == {fine.event.stripe_event_id: 1}
    assert swallowed.is_acknowledged


async def test_a_failure_in_a_savepoint_of_the_handlers_own_is_its_own_affair(harness: Harness) -> None:
    """A nested transaction is the right way to try something that may fail."""

    @handles("test.careful", registry=harness.registry)
    async def careful(of: StripeEvent, tx: Transaction) -> None:
        with pytest.raises(Exception, match="division"):
            async with tx.transaction():
                await tx.execute("SELECT 1 / 0")
        await write_effect(of, tx)

    [message] = await harness.recorded(event("test.careful"))
    await harness.take(message)
    assert await harness.effects() == {message.event.stripe_event_id: 1}


async def test_a_senseless_answer_of_a_handler_is_its_failure(harness: Harness) -> None:
    """A handler that answers neither Applied, Ignored nor Parked has not said what it did."""

    @handles_batch("test.senseless", registry=harness.registry)
    async def senseless(events: Sequence[StripeEvent], _: Transaction) -> Mapping[str, Outcome]:
        return {events[0].stripe_event_id: "done"}  # type: ignore[dict-item]

    [message] = await harness.recorded(event("test.senseless"))
    await harness.take(message)
    assert "TypeError" in (await harness.row(message.event))["last_error"]


async def test_a_deferred_constraint_that_fails_at_the_commit_counts_as_an_attempt(harness: Harness) -> None:
    """The commit itself may fail for what the handler wrote."""
    await harness.database.execute(
        "CREATE TABLE once (name text, UNIQUE (name) DEFERRABLE INITIALLY DEFERRED); INSERT INTO once VALUES ('taken')"
    )

    @handles("test.deferred", registry=harness.registry)
    async def write(_: StripeEvent, tx: Transaction) -> None:
        await tx.execute("INSERT INTO once VALUES ('taken')")

    [message] = await harness.recorded(event("test.deferred"))
    await harness.take(message)
    row = await harness.row(message.event)
    assert (row["processed"], row["processing_attempts"]) == (False, 1)
    assert "23505" in row["last_error"]
    assert "taken" not in row["last_error"]


async def test_two_processors_with_the_same_messages_have_one_effect(harness: Harness) -> None:
    """The processor that claims a row first runs it; the other leaves it or learns that it is done."""
    events = [event() for _ in range(40)]
    await harness.record(*events)
    mine = [Message(each) for each in events]
    theirs = [Message(each) for each in reversed(events)]
    await asyncio.gather(harness.take(*mine), harness.take(*theirs))
    assert await harness.effects() == {each.stripe_event_id: 1 for each in events}
    assert all(a.is_acknowledged or b.is_acknowledged for a, b in zip(mine, reversed(theirs), strict=True))


async def test_the_transaction_has_its_own_time_limits(harness: Harness) -> None:
    """A pooler's session settings cannot be trusted, so the limits are set for each transaction."""
    seen: dict[str, str] = {}

    @handles("test.limits", registry=harness.registry)
    async def look(_: StripeEvent, tx: Transaction) -> None:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            seen[name] = await tx.fetchval(f"SHOW {name}")

    [message] = await harness.recorded(event("test.limits"))
    await harness.take(message)
    assert seen == {
        "statement_timeout": "4750ms",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "10s",
    }


async def test_effects_wait_for_no_disk_and_everything_else_does(harness: Harness) -> None:
    """An effect that a crash takes back is due again; a start or an attempt that it took back would not be counted."""
    seen: list[str] = []

    @handles("test.commit", registry=harness.registry)
    async def look(_: StripeEvent, tx: Transaction) -> None:
        seen.append(await tx.fetchval("SHOW synchronous_commit"))

    [message] = await harness.recorded(event("test.commit"))
    await harness.take(message)
    (after,) = await harness.database.fetch("SHOW synchronous_commit")
    assert [*seen, after["synchronous_commit"]] == ["off", "on"]


async def test_effects_of_other_types_share_the_transaction(harness: Harness) -> None:
    """A batch is one commit, whatever types it holds."""
    with_effects(harness.registry, "test.other")
    messages = await harness.recorded(event(), event("test.other"))
    await harness.take(*messages)
    rows = await harness.database.fetch("SELECT count(DISTINCT xmin::text) AS commits FROM effect")
    assert rows[0]["commits"] == 1
