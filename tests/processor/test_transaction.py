"""A handler's transaction: READ COMMITTED, bounded in time on both ends, on a server that takes writes."""

import asyncio
from collections.abc import Sequence

import pytest

from processor.failures.database_gate import DatabaseGate
from processor.failures.retry_policy import Patience
from processor.outcome import Work
from processor.worker.transaction import Limits
from sluice.contract.event import StripeEvent
from sluice.outcomes import Applied, Parked
from sluice.postgres.pool import Database
from sluice.registry import Transaction, handles
from tests.processor.harness import Harness, Message, event

SETTINGS = ("transaction_isolation", "transaction_read_only", "statement_timeout", "lock_timeout")


async def test_a_handlers_transaction_is_read_committed_and_bounded(harness: Harness) -> None:
    """Rows that a lock was waited for must be seen afterwards; and the server gives up before we do."""
    harness.limits = Limits(transaction_seconds=4, lock_seconds=1)
    asked: list[Sequence[str]] = []

    @handles("test.asks", registry=harness.registry)
    async def ask(_: StripeEvent, tx: Transaction) -> None:
        asked.append([await tx.fetchval("SELECT current_setting($1)", name) for name in SETTINGS])
        asked.append([await tx.fetchval("SELECT current_setting('idle_in_transaction_session_timeout')")])

    await harness.take(*await harness.recorded(event("test.asks")))
    assert asked == [["read committed", "off", "3800ms", "1s"], ["8s"]]


async def test_a_transaction_that_takes_too_long_ends_whatever_it_waits_for(harness: Harness) -> None:
    """PostgreSQL is idle and the handler's own time is not up: ours is."""
    harness.limits, harness.handler_seconds = Limits(transaction_seconds=1), 10

    @handles("test.waits", registry=harness.registry)
    async def wait(_: StripeEvent, tx: Transaction) -> None:
        await tx.execute("SELECT 1")
        for _look in range(20):  # never idle for long, so that PostgreSQL has nothing to complain of
            await asyncio.sleep(0.25)
            await tx.execute("SELECT 1")

    of = event("test.waits")
    await harness.record(of)
    processor = harness.worker().processor
    with pytest.raises(TimeoutError):
        await processor.process([Work(of, 0, Message(of).incoming())])
    row = await harness.row(of)
    assert (row["processed"], row["processing_attempts"]) == (False, 0)


async def test_a_parked_event_looks_again_and_takes_effect(harness: Harness) -> None:
    """Each look sets the next, later than the one before; nothing else would ever bring it back."""
    harness.patience = Patience(first_seconds=100, longest_seconds=10_000, spread=float)
    row_is_there = False

    @handles("test.parks", registry=harness.registry)
    async def look(_: StripeEvent, tx: Transaction) -> Applied | Parked:
        del tx
        return Applied() if row_is_there else Parked("events row 7")

    (message,) = await harness.recorded(event("test.parks"))
    for attempt, seconds in enumerate((100, 200, 400)):
        await harness.take(Message(message.event, attempt))
        (row,) = await harness.database.fetch(
            "SELECT extract(epoch FROM next_attempt_at - parked_at) AS first, published_at, "
            "extract(epoch FROM next_attempt_at - now()) AS left FROM webhook_logs"
        )
        assert seconds - 60 < row["left"] <= seconds
        assert row["published_at"] is None
        assert attempt > 0 or row["first"] == seconds
    row_is_there = True
    await harness.take(Message(message.event, 3))
    assert (await harness.row(message.event))["outcome"] == "applied"


async def test_a_server_that_takes_no_writes_does_not_answer(database: Database, database_url: str) -> None:
    """A standby, the old primary after a failover, a disk that made the provider lock it: work waits."""
    stop = asyncio.Event()
    stop.set()  # no pauses
    assert await DatabaseGate(database, stop).has_answer()
    read_only_url = f"{database_url}?default_transaction_read_only=on"
    async with Database.connect(read_only_url, application_name="test") as read_only:
        database_gate = DatabaseGate(read_only, stop)
        assert not await database_gate.has_answer()
        assert await database_gate.lasts()
        assert database_gate.is_on
        assert not database_gate.waits_for_migration
