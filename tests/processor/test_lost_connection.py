"""An event that takes its connection with it ends like any failing event; an outage costs no event an attempt."""

import asyncio
import os
import signal
from dataclasses import replace

import asyncpg
import pytest

from devstack.postgres import PostgresServer
from processor.failures.isolated_runs import IsolatedRuns
from processor.failures.retry_policy import Schedule
from processor.outcome import Work
from sluice.contract.event import StripeEvent
from sluice.registry import Registry, Transaction, handles
from tests.processor.harness import Harness, Message, event, flat, write_effect
from tests.waiting import until


def with_own_end(registry: Registry) -> list[str]:
    """``test.ends`` ends its own backend, after its effect; whose runs there were."""
    runs: list[str] = []

    @handles("test.ends", registry=registry)
    async def end_backend(of: StripeEvent, tx: Transaction) -> None:
        runs.append(of.stripe_event_id)
        await write_effect(of, tx)
        await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    return runs


async def test_an_event_that_ends_its_backend_has_an_attempt_and_its_neighbours_their_effect(
    harness: Harness,
) -> None:
    """One turn is enough: the batch is halved, the culprit runs alone three times, no outage is waited for."""
    with_own_end(harness.registry)
    harness.schedule = Schedule(spread=flat(60))
    messages = await harness.recorded(*(event("test.ends" if n == 61 else "test.effect") for n in range(100)))
    culprit, rest = messages[61], [*messages[:61], *messages[62:]]
    async with asyncio.timeout(8):
        await harness.take(*messages)
    assert await harness.effects() == {message.event.stripe_event_id: 1 for message in rest}
    assert all(message.acknowledgements == 1 for message in messages)
    row = await harness.row(culprit.event)
    assert (row["processing_attempts"], row["outcome"], row["dead_at"]) == (1, "failed", None)
    assert row["published_at"] is None
    assert "lost its connection to PostgreSQL in 3 runs alone" in row["last_error"]
    assert "end_backend" in row["last_error"]
    assert [row["severity"] for row in await harness.error_rows()] == ["error"]


async def test_an_event_that_ends_its_backend_is_dead_after_its_attempts(harness: Harness) -> None:
    """The row says so, and error_logs; once convicted it costs one connection for each attempt, and no company."""
    runs = with_own_end(harness.registry)
    harness.schedule = Schedule(attempts=3, spread=flat(0))
    culprit, other = event("test.ends"), event()
    await harness.record(culprit)
    await harness.record(other, attempts=1)
    await harness.take(Message(culprit))
    first = len(runs)
    await harness.take(Message(culprit, attempt=1), Message(other, attempt=1))
    await harness.take(Message(culprit, attempt=2))
    row = await harness.row(culprit)
    assert (row["processing_attempts"], row["outcome"], row["dead_at"] is not None) == (3, "failed", True)
    assert (first, len(runs)) == (4, 6)
    assert await harness.effects() == {other.stripe_event_id: 1}
    assert [row["severity"] for row in await harness.error_rows()] == ["error", "error", "critical"]


async def test_a_redelivered_event_that_ends_its_backend_ends_too(harness: Harness) -> None:
    """It runs alone from the beginning, and is no process-killer: the process lives."""
    with_own_end(harness.registry)
    [message] = await harness.recorded(event("test.ends"))
    again = message.again()
    await harness.take(again)
    row = await harness.row(message.event)
    assert (row["processing_attempts"], row["dead_at"], again.is_acknowledged) == (1, None, True)


async def test_a_backend_that_ends_at_the_commit_is_found_as_well(harness: Harness) -> None:
    """A deferred trigger runs after the handler has returned; no handler is there to be blamed."""
    await harness.database.execute("""
        CREATE FUNCTION end_backend() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
        CREATE TABLE trap (n int);
        CREATE CONSTRAINT TRIGGER spring AFTER INSERT ON trap DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION end_backend()
    """)

    @handles("test.defers", registry=harness.registry)
    async def step_in(_: StripeEvent, tx: Transaction) -> None:
        await tx.execute("INSERT INTO trap VALUES (1)")

    culprit, fine = await harness.recorded(event("test.defers"), event())
    async with asyncio.timeout(8):
        await harness.take(culprit, fine)
    assert (await harness.row(culprit.event))["processing_attempts"] == 1
    assert await harness.effects() == {fine.event.stripe_event_id: 1}


async def test_an_event_that_makes_its_transaction_read_only_ends_like_any_other(harness: Harness) -> None:
    """PostgreSQL says the same of a standby, but this server takes writes."""

    @handles("test.reads", registry=harness.registry)
    async def read_only(_: StripeEvent, tx: Transaction) -> None:
        await tx.execute("SET TRANSACTION READ ONLY")

    culprit, fine = await harness.recorded(event("test.reads"), event())
    async with asyncio.timeout(8):
        await harness.take(culprit, fine)
    assert (await harness.row(culprit.event))["processing_attempts"] == 1
    assert await harness.effects() == {fine.event.stripe_event_id: 1}


async def test_an_event_that_crashes_the_whole_server_ends_too(
    own_postgres: PostgresServer, own_harness: Harness
) -> None:
    """All lose their connection each time; only the culprit loses it in three runs alone."""

    @handles("test.crashes", registry=own_harness.registry)
    async def crash(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        os.kill(await tx.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
        await tx.execute("SELECT pg_sleep(5)")

    messages = await own_harness.recorded(*(event("test.crashes" if n == 3 else "test.effect") for n in range(8)))
    async with asyncio.timeout(60):  # PostgreSQL recovers four times, as fast as the machine is
        await own_harness.take(*messages)
    culprit, rest = messages[3], [*messages[:3], *messages[4:]]
    assert await own_harness.effects() == {message.event.stripe_event_id: 1 for message in rest}
    row = await own_harness.row(culprit.event)
    assert (row["processing_attempts"], row["dead_at"]) == (1, None)
    assert all(message.acknowledgements == 1 for message in messages)
    assert [(await own_harness.row(message.event))["processing_attempts"] for message in rest] == [0] * len(rest)
    log = own_postgres.log.read_text()
    assert log.count("was terminated by signal 9") == 4


async def test_a_server_that_stops_in_the_middle_of_each_run_costs_no_attempt(
    own_postgres: PostgresServer, own_harness: Harness
) -> None:
    """PostgreSQL says that it stops, and then is away: an outage, however often it meets the same event."""
    running = asyncio.Event()

    @handles("test.slow", registry=own_harness.registry)
    async def take_time(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        if stops:
            running.set()
            await tx.execute("SELECT pg_sleep(3)")

    stops = 5
    [message] = await own_harness.recorded(event("test.slow"))
    again = message.again()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(own_harness.take(again))
        while stops:
            await running.wait()
            running.clear()
            stops -= 1
            await own_postgres.stop()
            await own_postgres.restart()
    row = await own_harness.row(message.event)
    assert (row["processed"], row["processing_attempts"], row["last_error"]) == (True, 0, None)
    assert await own_harness.effects() == {message.event.stripe_event_id: 1}
    assert again.acknowledgements == 1


async def test_a_connection_lost_once_costs_no_attempt(harness: Harness) -> None:
    """A person ends our session, or a network device does: the next run succeeds, and the start is forgotten."""
    cuts = [None, None]

    @handles("test.cut", registry=harness.registry)
    async def be_cut(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        if cuts:
            cuts.pop()
            await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    messages = await harness.recorded(event("test.cut"), event())
    await harness.take(*messages)
    for message in messages:
        row = await harness.row(message.event)
        assert (row["processed"], row["processing_attempts"], row["solo_starts"]) == (True, 0, 0)
    assert set((await harness.effects()).values()) == {1}


ELSEWHERE = [
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    asyncpg.DiskFullError("could not extend file"),
    asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in a read-only transaction"),
    asyncpg.InterfaceError("connection is closed"),
    ConnectionRefusedError("111"),
]


@pytest.mark.parametrize("error", ELSEWHERE, ids=lambda error: type(error).__name__)
async def test_what_is_away_elsewhere_is_no_outage_of_ours(harness: Harness, error: Exception) -> None:
    """A handler's own client of another database or service fails: an attempt for this event, nothing for others."""

    @handles("test.elsewhere", registry=harness.registry)
    async def ask_elsewhere(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        raise error

    culprit, fine = await harness.recorded(event("test.elsewhere"), event())
    worker = harness.worker()
    async with asyncio.timeout(8):
        await worker.take([culprit.incoming(), fine.incoming()])
    row = await harness.row(culprit.event)
    assert (row["processing_attempts"], row["outcome"]) == (1, "failed")
    assert f"{type(error).__name__}" in row["last_error"]
    assert await harness.effects() == {fine.event.stripe_event_id: 1}
    assert not worker.database_gate.is_on


async def test_a_full_disk_of_ours_stays_an_outage(harness: Harness) -> None:
    """The server answers and cannot work: no event's fault, so it is tried until it can."""
    refusals = [None] * 4

    @handles("test.full", registry=harness.registry)
    async def meet_full_disk(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        if refusals:
            refusals.pop()
            await tx.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$")

    [message] = await harness.recorded(event("test.full"))
    await harness.take(message)
    row = await harness.row(message.event)
    assert (row["processed"], row["processing_attempts"]) == (True, 0)


async def test_nothing_is_attempted_before_postgres_answers_again(
    own_postgres: PostgresServer, own_harness: Harness
) -> None:
    """A start whose commit was not confirmed would count against an innocent event."""
    runs: list[str] = []

    @handles("test.looks", registry=own_harness.registry)
    async def look(of: StripeEvent, _: Transaction) -> None:
        runs.append(of.stripe_event_id)

    [message] = await own_harness.recorded(event("test.looks"))
    worker = own_harness.worker()
    begun: list[str] = []

    class Counted(IsolatedRuns):
        async def begin(self, work: Work, *, lost: bool = False) -> int:
            begun.append(work.event_id)
            return await super().begin(work, lost=lost)

    worker = replace(worker, isolated_runs=Counted(own_harness.database))
    await own_postgres.stop()
    working = asyncio.create_task(worker.take([message.again().incoming()]))
    await until(lambda: worker.database_gate.is_on)
    await own_postgres.restart()
    await working
    assert (len(begun), len(runs)) == (1, 1)
