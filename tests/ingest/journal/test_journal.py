"""The group commit: one row for each event, a commit behind each answer, no wait for a lock."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

import asyncpg
import pytest
import pytest_asyncio

from ingest.errors import OutOfTime, TooMuchAtOnce
from ingest.journal.journal import Journal, JournalLimits
from ingest.journal.receipt import AlreadyRecorded, Receipt, Recorded
from sluice.contract.event import StripeEvent
from sluice.failures import DatabaseUnavailable, Unavailable
from sluice.postgres.pool import Database
from tests.ingest.running import NOWHERE, Ingest, running
from tests.ingest.webhooks import event, webhook
from tests.waiting import until

Postgres: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Bench:
    """A journal, and the task that runs it."""

    def __init__(self, database: Database, **limits: float) -> None:
        self.recorded: list[StripeEvent] = []
        self.failures: list[Exception] = []
        self.journal = Journal(
            database,
            on_recorded=self.recorded.extend,
            on_failure=self.failures.append,
            limits=JournalLimits(**limits),  # type: ignore[arg-type]
        )

    async def record_together(self, events: Sequence[StripeEvent]) -> list[Receipt]:
        """All at once, so that they share writes."""
        return await asyncio.gather(*(self.journal.record(event, verified_by="platform:1") for event in events))


@pytest_asyncio.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    """A running journal."""
    bench = Bench(database)
    task = asyncio.create_task(bench.journal.run())
    yield bench
    task.cancel()
    await asyncio.wait([task])


async def test_a_hundred_at_once_three_times_each_make_a_hundred_rows(ingest: Ingest, postgres: Postgres) -> None:
    """Item 4: every answer 200, one of each three new, two repeats beside it."""
    bodies = [webhook() for _ in range(100)]
    replies = await asyncio.gather(*(ingest.deliver(body) for body in bodies * 3))
    assert {reply.status for reply in replies} == {200}
    assert Counter(reply.json["duplicate"] for reply in replies) == {True: 200, False: 100}
    assert await postgres.fetchval("SELECT count(*) FROM webhook_logs") == 100
    assert await postgres.fetchval("SELECT count(*) FROM webhook_delivery") == 200


async def test_a_recorded_row_holds_what_came(bench: Bench, postgres: Postgres) -> None:
    """Every column that ingest owns, and a first look for the relay some seconds ahead."""
    new = event("evt_full", account="acct_1", livemode=True)
    assert await bench.record_together([new]) == [Recorded()]
    row = await postgres.fetchrow(
        "SELECT *, next_attempt_at - created_at AS wait, sluice_body(body, body_id) AS whole FROM webhook_logs"
    )
    assert row is not None
    assert (row["stripe_event_id"], row["webhook_type"]) == ("evt_full", "payment_intent.succeeded")
    assert (row["stripe_account_id"], row["livemode"], row["api_version"]) == ("acct_1", True, "2026-10-28.endive")
    assert (row["object_id"], row["tenant"], row["verified_by"]) == (new.object_id, None, "platform:1")
    assert row["stripe_created_at"].timestamp() == new.created
    assert (row["whole"], row["body"], row["body_bytes"]) == (new.body, None, len(new.body))
    assert (row["processed"], row["processing_attempts"], row["publications"]) == (False, 0, 1)
    assert row["wait"].total_seconds() == 5
    assert row["published_at"] is not None
    assert bench.recorded == [new]


async def test_the_same_id_several_times_in_one_batch_is_one_row(bench: Bench, postgres: Postgres) -> None:
    """The first is recorded, the others are repeats, all of them in one write."""
    same = event("evt_same")
    receipts = await bench.record_together([event("evt_b"), same, event("evt_a"), same, same])
    assert receipts == [Recorded(), Recorded(), Recorded(), AlreadyRecorded(), AlreadyRecorded()]
    assert await postgres.fetchval("SELECT count(*) FROM webhook_logs") == 3
    assert await postgres.fetchval("SELECT count(*) FROM webhook_delivery WHERE stripe_event_id = 'evt_same'") == 2
    assert await postgres.fetchval("SELECT count(DISTINCT xmin::text) FROM webhook_logs") == 1
    assert len(bench.recorded) == 3


async def test_a_duplicate_never_touches_the_row(bench: Bench, postgres: Postgres) -> None:
    """Not even its version: the repeat is appended elsewhere, so that its answer follows a commit too."""
    await bench.record_together([event("evt_1")])
    before = await postgres.fetchrow("SELECT xmin::text, ctid::text, * FROM webhook_logs")
    assert await bench.record_together([event("evt_1")]) == [AlreadyRecorded()]
    assert await postgres.fetchrow("SELECT xmin::text, ctid::text, * FROM webhook_logs") == before
    assert await postgres.fetchval("SELECT count(*) FROM webhook_delivery") == 1


async def test_another_body_under_a_known_id_is_noted_and_the_first_kept(bench: Bench, postgres: Postgres) -> None:
    """In the table, in the same batch, and not where the bodies are equal."""
    first, other = event("evt_1"), event("evt_1")
    await bench.record_together([first, first, other])
    await bench.record_together([other, first])
    noted = await postgres.fetch("SELECT body_differs FROM webhook_delivery ORDER BY id")
    assert [row["body_differs"] for row in noted] == [False, True, True, False]
    assert bytes(await postgres.fetchval("SELECT sluice_body(body, body_id) FROM webhook_logs")) == first.body


async def test_a_duplicate_of_a_row_that_a_processor_holds_is_answered_at_once(
    bench: Bench, postgres: Postgres
) -> None:
    """Locked, and updated but not committed: neither it nor its neighbours wait."""
    await bench.record_together([event("evt_1")])
    async with postgres.transaction():
        await postgres.execute("UPDATE webhook_logs SET processed = true, next_attempt_at = now()")
        async with asyncio.timeout(1):
            receipts = await bench.record_together([event("evt_1"), event("evt_2")])
    assert receipts == [AlreadyRecorded(), Recorded()]


async def test_two_journals_record_the_same_events_once(database: Database, bench: Bench, postgres: Postgres) -> None:
    """Two replicas, the same hundred events in opposite orders: no deadlock, one new of each two."""
    other = Bench(database)
    task = asyncio.create_task(other.journal.run())
    events = [event() for _ in range(100)]
    for round_of in range(0, 100, 20):
        part = events[round_of : round_of + 20]
        receipts = await asyncio.gather(bench.record_together(part), other.record_together(part[::-1]))
        assert sum(isinstance(receipt, Recorded) for both in receipts for receipt in both) == 20
    task.cancel()
    assert await postgres.fetchval("SELECT count(*) FROM webhook_logs") == 100
    assert await postgres.fetchval("SELECT count(*) FROM webhook_delivery") == 100
    assert not bench.failures
    assert not other.failures


@pytest.mark.parametrize("is_known", [False, True], ids=["new", "duplicate"])
async def test_each_200_follows_a_commit_of_its_own(ingest: Ingest, postgres: Postgres, *, is_known: bool) -> None:
    """While the commit is held back there is no answer, for a duplicate neither; then it comes."""
    body = webhook()
    if is_known:
        assert (await ingest.deliver(body)).status == 200
    async with postgres.transaction():
        await postgres.execute("LOCK TABLE webhook_logs, webhook_delivery IN EXCLUSIVE MODE")
        waiting = asyncio.create_task(ingest.deliver(body))
        await until(lambda: _waits_for_lock(postgres))
        assert not waiting.done()
    assert (await waiting).json["duplicate"] is is_known


async def _waits_for_lock(postgres: Postgres) -> bool:
    return bool(await postgres.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))


async def test_past_its_deadline_a_request_gets_503_and_may_be_recorded_later(
    database_url: str, postgres: Postgres
) -> None:
    """PostgreSQL that does not answer costs a client the promised time; a write that gives up would say otherwise."""
    async with running(database_url, NOWHERE, answer_seconds=0.5) as ingest:
        async with postgres.transaction():
            await postgres.execute("LOCK TABLE webhook_logs IN EXCLUSIVE MODE")
            replies = await asyncio.gather(*(ingest.deliver(webhook()) for _ in range(5)))
        assert {(reply.status, reply.code) for reply in replies} == {(503, OutOfTime.code)}
        assert {reply.headers["Retry-After"] for reply in replies} == {"5"}
        await until(lambda: _delivers(ingest))


async def _delivers(ingest: Ingest) -> bool:
    return (await ingest.deliver(webhook())).status == 200


async def test_a_lost_connection_is_repeated_once_on_another(bench: Bench, postgres: Postgres) -> None:
    """The server ends the session in the middle of a write: the same statement again, one row."""
    async with postgres.transaction():
        await postgres.execute("LOCK TABLE webhook_logs IN EXCLUSIVE MODE")
        waiting = asyncio.create_task(bench.record_together([event("evt_1")]))
        await until(lambda: _waits_for_lock(postgres))
        await postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'test' AND pid <> pg_backend_pid() AND wait_event_type = 'Lock'"
        )
        await until(lambda: _waits_for_lock(postgres))
    assert await waiting == [Recorded()]
    assert await postgres.fetchval("SELECT count(*) FROM webhook_logs") == 1
    assert not bench.failures


async def test_a_row_that_postgresql_refuses_costs_its_neighbours_nothing(bench: Bench, postgres: Postgres) -> None:
    """The batch is halved until the bad one stands alone."""
    await postgres.execute("ALTER TABLE webhook_logs ADD CHECK (stripe_event_id <> 'evt_bad')")
    events = [event(f"evt_{number}") for number in range(9)]
    events.insert(4, event("evt_bad"))
    results = await asyncio.gather(
        *(bench.journal.record(event, verified_by="platform:1") for event in events), return_exceptions=True
    )
    assert [isinstance(result, Recorded) for result in results] == [
        event.stripe_event_id != "evt_bad" for event in events
    ]
    assert isinstance(results[4], Unavailable)
    assert len(bench.failures) == 1


async def test_a_full_queue_refuses_at_once(database: Database) -> None:
    """By rows and by bytes; this journal is not run, so nothing leaves the queue."""
    by_rows = Bench(database, queue_rows=1).journal
    by_bytes = Bench(database, queue_bytes=len(event().body)).journal
    for journal in (by_rows, by_bytes):
        waiting = asyncio.create_task(journal.record(event(), verified_by="platform:1"))
        await asyncio.sleep(0)
        with pytest.raises(TooMuchAtOnce):
            await journal.record(event(), verified_by="platform:1")
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_client_that_left_is_harmless(database: Database, postgres: Postgres) -> None:
    """Its row is not written when it left before the write; its bytes are given back; its neighbour is served."""
    bench = Bench(database)
    gone = asyncio.create_task(bench.journal.record(event("evt_gone"), verified_by="platform:1"))
    stays = asyncio.create_task(bench.journal.record(event("evt_stays"), verified_by="platform:1"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    task = asyncio.create_task(bench.journal.run())
    assert await stays == Recorded()
    task.cancel()
    await asyncio.wait([task])
    assert bench.journal.waiting_bytes == 0
    assert await postgres.fetchval("SELECT array_agg(stripe_event_id) FROM webhook_logs") == ["evt_stays"]


async def test_batches_are_bounded_by_rows_and_bytes(database: Database, postgres: Postgres) -> None:
    """So that one write neither holds PostgreSQL nor our memory for long."""
    size = len(event("evt_0").body)
    bench = Bench(database, batch_rows=3, batch_bytes=2 * size + 8)
    waiting = asyncio.gather(*(bench.journal.record(event(f"evt_{n}"), verified_by="p:1") for n in range(7)))
    await asyncio.sleep(0)
    task = asyncio.create_task(bench.journal.run())
    await waiting
    task.cancel()
    await asyncio.wait([task])
    written = await postgres.fetch("SELECT count(*) AS rows FROM webhook_logs GROUP BY xmin::text")
    assert sorted(row["rows"] for row in written) == [1, 2, 2, 2]


async def test_a_write_takes_half_of_a_crowd_and_all_of_a_few(database: Database, postgres: Postgres) -> None:
    """So that PostgreSQL and we work at the same time; few rows cost a write as much as one."""
    bench = Bench(database)
    waiting = asyncio.gather(*(bench.journal.record(event(f"evt_{n}"), verified_by="p:1") for n in range(100)))
    await asyncio.sleep(0)
    task = asyncio.create_task(bench.journal.run())
    await waiting
    written = await postgres.fetch("SELECT count(*) AS rows FROM webhook_logs GROUP BY xmin::text")
    assert sorted(row["rows"] for row in written) == [50, 50]
    await until(lambda: database.status()["busy"] == 0)
    task.cancel()
    await asyncio.wait([task])


async def test_without_postgresql_every_waiting_request_is_refused() -> None:
    """One failed write is enough to know; the queue behind it is not made to wait."""
    async with Database.connect("postgresql://u:p@127.0.0.1:1/x", application_name="test", min_size=0) as database:
        bench = Bench(database, batch_rows=1)
        waiting = [asyncio.create_task(bench.journal.record(event(), verified_by="p:1")) for _ in range(5)]
        await asyncio.sleep(0)
        task = asyncio.create_task(bench.journal.run())
        async with asyncio.timeout(1):
            results = await asyncio.gather(*waiting, return_exceptions=True)
        task.cancel()
        await asyncio.wait([task])
    assert {type(result) for result in results} == {DatabaseUnavailable}
    assert len(bench.failures) == 1
    assert bench.journal.waiting_bytes == 0


async def test_the_look_up_of_known_ids_uses_the_index_even_when_nothing_is_known_of_the_table(
    postgres: Postgres,
) -> None:
    """A plan made while the table is new must not read all of it when it has grown."""
    from sluice.inbox.recorder import QUERIES  # noqa: PLC0415

    await postgres.execute("SET plan_cache_mode = force_generic_plan")
    types = "text[],text[],bigint[],boolean[],text[],text[],text[],text[],text[],bytea[],boolean[]"
    await postgres.execute(f"PREPARE record ({types}) AS {QUERIES['record']}")
    arrays = ",".join(["'{}'"] * 11)
    plan = await postgres.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE record ({arrays})")
    assert "Seq Scan" not in json.dumps(json.loads(plan))


async def test_a_plan_made_while_the_table_was_empty_does_not_read_all_of_it_later(
    bench: Bench, database: Database, postgres: Postgres
) -> None:
    """PostgreSQL keeps a plan until statistics come; a new system's first webhooks must not scan one another."""
    await postgres.execute("VACUUM ANALYZE webhook_logs")
    for number in range(20):  # it settles on one plan after five
        await bench.record_together([event(f"evt_{number}")])
    await until(lambda: database.status()["busy"] == 0)
    await database.fetch("SELECT pg_stat_force_next_flush()")  # the pool has the journal's connection alone
    told = await postgres.fetchrow("SELECT * FROM pg_stat_user_tables WHERE relname = 'webhook_logs'")
    assert told is not None
    assert (told["n_tup_ins"], told["seq_tup_read"]) == (20, 0)


class LosesItsPlace:
    """A database whose connections fail as asyncpg's do when a server stops in the middle of an answer."""

    def __init__(self, database: Database, *, times: int) -> None:
        self.left = times
        self._database = database

    @asynccontextmanager
    async def acquire(self, *, within_seconds: float = 2) -> AsyncIterator[object]:
        """A connection that has lost its place, so often; then real ones."""
        if self.left:
            self.left -= 1
            raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")
        async with self._database.acquire(within_seconds=within_seconds) as connection:
            yield connection


@pytest.mark.parametrize(("times", "is_recorded"), [(1, True), (2, False)])
async def test_a_connection_that_lost_its_place_ends_no_journal(
    database: Database, times: int, is_recorded: bool
) -> None:
    """Asyncpg's own confusion is an outage: repeated once, then refused, and the next webhook is recorded."""
    bench = Bench(cast("Database", LosesItsPlace(database, times=times)))
    running = asyncio.create_task(bench.journal.run())
    if is_recorded:
        assert await bench.record_together([event("evt_1")]) == [Recorded()]
    else:
        with pytest.raises(DatabaseUnavailable):
            await bench.record_together([event("evt_1")])
    assert await bench.record_together([event("evt_2")]) == [Recorded()]
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
