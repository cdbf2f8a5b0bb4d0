"""One turn: halving, running alone, contention, time limits, outages, the stop."""

import asyncio
from datetime import UTC, datetime

import pytest

from processor.failures.retry_policy import Schedule
from processor.worker.transaction import Limits
from sluice.contract.event import StripeEvent
from sluice.registry import Registry, Transaction, handles
from tests.processor.harness import Harness, Message, event, flat, write_effect


def with_poison(registry: Registry) -> None:
    """``test.poison`` fails in PostgreSQL, after its effect."""

    @handles("test.poison", registry=registry)
    async def poison(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        await tx.execute("SELECT 1 / 0")


async def test_one_poison_in_a_hundred_costs_its_neighbours_nothing(harness: Harness) -> None:
    """The batch is halved, not unrolled: few transactions, ninety-nine effects, one failed attempt."""
    with_poison(harness.registry)
    messages = await harness.recorded(*(event("test.poison" if n == 61 else "test.effect") for n in range(100)))
    await harness.take(*messages)
    poisoned, rest = messages[61], [*messages[:61], *messages[62:]]
    assert await harness.effects() == {message.event.stripe_event_id: 1 for message in rest}
    assert all(message.acknowledgements == 1 for message in messages)
    row = await harness.row(poisoned.event)
    assert (row["processing_attempts"], row["processed"]) == (1, False)
    assert "DivisionByZeroError 22012" in row["last_error"]
    [commits] = await harness.database.fetch("SELECT count(DISTINCT xmin::text) AS commits FROM effect")
    assert commits["commits"] <= 8


async def test_a_poison_dies_alone_after_its_attempts(harness: Harness) -> None:
    """Tried again in the company of other tried events, it ends dead and they do not."""
    with_poison(harness.registry)
    harness.schedule = Schedule(attempts=3, spread=flat(0))
    poison, other = event("test.poison"), event()
    await harness.record(poison)
    await harness.record(other, attempts=1)
    await harness.take(Message(poison))
    await harness.take(Message(poison, attempt=1), Message(other, attempt=1))
    await harness.take(Message(poison, attempt=2))
    assert (await harness.row(poison))["dead_at"] is not None
    assert (await harness.row(other))["processed"]


async def test_a_hanging_handler_counts_as_an_attempt(harness: Harness) -> None:
    """Past its time budget a handler is at fault; its neighbours take effect all the same."""
    harness.handler_seconds = 0.2

    @handles("test.hangs", registry=harness.registry)
    async def hang(_: StripeEvent, tx: Transaction) -> None:
        await tx.execute("SELECT pg_sleep(60)")

    hanging, fine = await harness.recorded(event("test.hangs"), event())
    async with asyncio.timeout(5):
        await harness.take(hanging, fine)
    row = await harness.row(hanging.event)
    assert (row["processing_attempts"], row["processed"]) == (1, False)
    assert "time budget" in row["last_error"]
    assert await harness.effects() == {fine.event.stripe_event_id: 1}


async def test_another_sessions_lock_burns_no_attempt(harness: Harness) -> None:
    """Only the event that meets the lock is postponed; nothing failed, so nothing is counted."""
    harness.limits = Limits(lock_seconds=0.1)
    await harness.database.execute("CREATE TABLE shared (id int PRIMARY KEY, n int); INSERT INTO shared VALUES (1, 0)")

    @handles("test.shared", registry=harness.registry)
    async def add(_: StripeEvent, tx: Transaction) -> None:
        await tx.execute("UPDATE shared SET n = n + 1 WHERE id = 1")

    contended, fine = await harness.recorded(event("test.shared"), event())
    async with harness.database.acquire() as other, other.transaction():
        await other.execute("SELECT 1 FROM shared FOR UPDATE")
        await harness.take(contended, fine)
    row = await harness.row(contended.event)
    assert (row["processing_attempts"], row["outcome"], row["processed"]) == (0, None, False)
    assert row["last_error"].startswith("postponed: LockNotAvailableError 55P03")
    assert (row["published_at"], row["dead_at"]) == (None, None)
    assert (contended.is_acknowledged, fine.is_acknowledged) == (True, True)
    await harness.take(Message(contended.event))
    assert (await harness.row(contended.event))["processed"]


async def test_a_postponed_event_comes_back_later_each_time(harness: Harness) -> None:
    """From a few seconds to five minutes, however long the lock is held; it gives up its place in the consumer."""
    harness.limits = Limits(lock_seconds=0.05)
    await harness.database.execute("CREATE TABLE shared (id int PRIMARY KEY); INSERT INTO shared VALUES (1)")

    @handles("test.shared", registry=harness.registry)
    async def look(_: StripeEvent, tx: Transaction) -> None:
        await tx.execute("SELECT 1 FROM shared FOR UPDATE")

    [message] = await harness.recorded(event("test.shared"))
    delays = []
    async with harness.database.acquire() as other, other.transaction():
        await other.execute("SELECT 1 FROM shared FOR UPDATE")
        for publications in (1, 4, 1_000):
            await harness.set_row(message.event, f"published_at = now(), publications = {publications}")
            await harness.take(Message(message.event))
            row = await harness.row(message.event)
            delays.append((row["next_attempt_at"] - datetime.now(UTC)).total_seconds())
    assert delays == [pytest.approx(4, abs=2), pytest.approx(32, abs=6), pytest.approx(300, abs=46)]


async def test_a_deadlock_is_tried_again_at_once(harness: Harness) -> None:
    """The other transaction got through; neither waits for a redelivery, and no attempt is burned."""
    await harness.database.execute("CREATE TABLE pair (id int PRIMARY KEY); INSERT INTO pair VALUES (1), (2)")
    met = asyncio.Barrier(2)

    def locks(event_type: str, first: int, second: int) -> None:
        runs: list[None] = []

        @handles(event_type, registry=harness.registry)
        async def lock_both(of: StripeEvent, tx: Transaction) -> None:
            await tx.execute("SET LOCAL deadlock_timeout = '50ms'")
            await tx.execute("SELECT 1 FROM pair WHERE id = $1 FOR UPDATE", first)
            runs.append(None)
            if len(runs) == 1:
                await met.wait()
            await tx.execute("SELECT 1 FROM pair WHERE id = $1 FOR UPDATE", second)
            await write_effect(of, tx)

    locks("test.up", 1, 2)
    locks("test.down", 2, 1)
    up, down = await harness.recorded(event("test.up"), event("test.down"))
    await asyncio.gather(harness.take(up), harness.take(down))
    assert await harness.effects() == {up.event.stripe_event_id: 1, down.event.stripe_event_id: 1}
    assert (up.acknowledgements, down.acknowledgements) == (1, 1)
    assert (await harness.row(up.event))["processing_attempts"] == 0
    assert (await harness.row(down.event))["processing_attempts"] == 0


async def test_a_redelivered_event_runs_alone_after_its_start_is_committed(harness: Harness) -> None:
    """While it runs, the start is visible to all; when it ended, it is gone."""
    seen: list[int] = []

    @handles("test.looks", registry=harness.registry)
    async def look(of: StripeEvent, _: Transaction) -> None:
        seen.append((await harness.row(of))["solo_starts"])

    [message] = await harness.recorded(event("test.looks"))
    await harness.take(message.again())
    assert seen == [1]
    row = await harness.row(message.event)
    assert (row["processed"], row["solo_starts"]) == (True, 0)


async def test_a_fresh_copy_of_a_suspect_does_not_run_in_company(harness: Harness) -> None:
    """The relay publishes a row again while its run alone is unfinished: the copy must not meet neighbours."""
    together: list[int] = []

    @handles("test.looks", registry=harness.registry)
    async def look(_: StripeEvent, tx: Transaction) -> None:
        together.append(await tx.fetchval("SELECT count(*)::int FROM effect WHERE xmin = pg_current_xact_id()::xid"))

    *rest, suspect = await harness.recorded(event(), event(), event("test.looks"))
    await harness.set_row(suspect.event, "solo_starts = 1")
    await harness.take(suspect, *rest)
    assert together == [0]
    assert all(message.is_acknowledged for message in (suspect, *rest))
    assert (await harness.row(suspect.event))["solo_starts"] == 0


async def test_starts_that_never_ended_lead_to_death(harness: Harness) -> None:
    """After three of them the event is dead, and says that it killed its process."""
    [message] = await harness.recorded(event())
    await harness.set_row(message.event, "solo_starts = 3")
    again = message.again()
    await harness.take(again)
    row = await harness.row(message.event)
    assert (row["processed"], row["dead_at"] is not None, row["outcome"]) == (False, True, "failed")
    assert "killed its process" in row["last_error"]
    assert again.is_acknowledged
    assert await harness.effects() == {}
    assert [row["severity"] for row in await harness.error_rows()] == ["critical"]


async def test_a_run_alone_that_fails_has_ended(harness: Harness) -> None:
    """A failure is an attempt; the process lived, so no start stays unfinished."""
    with_poison(harness.registry)
    [message] = await harness.recorded(event("test.poison"))
    await harness.take(message.again())
    row = await harness.row(message.event)
    assert (row["solo_starts"], row["processing_attempts"]) == (0, 1)


async def test_a_run_alone_that_meets_a_lock_has_ended(harness: Harness) -> None:
    """Left unacknowledged any number of times, it must not look like a process-killer."""
    harness.limits = Limits(lock_seconds=0.05)
    await harness.database.execute("CREATE TABLE shared (id int PRIMARY KEY); INSERT INTO shared VALUES (1)")

    @handles("test.shared", registry=harness.registry)
    async def add(_: StripeEvent, tx: Transaction) -> None:
        await tx.execute("SELECT 1 FROM shared FOR UPDATE")

    [message] = await harness.recorded(event("test.shared"))
    worker = harness.worker()
    async with harness.database.acquire() as other, other.transaction():
        await other.execute("SELECT 1 FROM shared FOR UPDATE")
        for _ in range(5):
            message = message.again()
            await worker.take([message.incoming()])
            await harness.relay(message.event)
    await worker.take([message.again().incoming()])
    row = await harness.row(message.event)
    assert (row["processed"], row["dead_at"]) == (True, None)


async def test_a_stop_leaves_what_has_not_begun(harness: Harness) -> None:
    """The transaction in flight is finished and acknowledged; the rest comes again elsewhere."""

    @handles("test.stops", registry=harness.registry)
    async def stop(_: StripeEvent, __: Transaction) -> None:
        harness.stop.set()

    first, second = await harness.recorded(event("test.stops"), event())
    await harness.take(first, second.again())
    assert first.is_acknowledged
    assert (await harness.row(first.event))["processed"]
    assert not (await harness.row(second.event))["processed"]


async def test_what_is_held_too_long_is_left_to_come_again(harness: Harness) -> None:
    """A fetch full of slow events must not be worked on when its messages are with another processor already."""
    harness.hold_seconds = 0
    first, second = await harness.recorded(event(), event())
    second = second.again()
    await harness.take(first, second)
    assert first.is_acknowledged
    assert not second.is_acknowledged
