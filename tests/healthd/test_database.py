"""healthd reads PostgreSQL with the rights of its own role, and reports one that is away."""

import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from devstack.postgres import PostgresServer
from healthd.database import look_at_database, look_at_schema, look_at_webhooks, problem_of
from healthd.findings import Limits
from healthd.health_state import HealthState
from healthd.observations import Problem, SchemaSeen, WebhooksSeen
from healthd.poll import DatabasePoll
from healthd.rules import Part, Reason, Status
from sluice.failures import DatabaseUnavailable
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.sql import load_queries
from tests.waiting import until

SECONDS = 2.0
ROWS = """
INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, processed, outcome, processing_attempts,
                          next_attempt_at, published_at, dead_at, created_at)
SELECT kind || n, 'charge.succeeded', '{"card": "4242"}', kind IN ('done', 'buried'), outcome, attempts,
       CASE WHEN relayed THEN now() END, CASE WHEN published THEN now() END, CASE WHEN dead THEN now() END,
       now() - age * interval '1 second'
FROM (VALUES
    ('fresh',  3, NULL,          0, true,  true,  false, 5),
    ('failed', 2, 'failed',      4, true,  false, false, 600),
    ('parked', 4, 'parked',      2, true,  false, false, 7200),
    ('again',  1, 'parked',      3, true,  true,  false, 9000),
    ('dead',   2, 'failed',     16, true,  false, true,  90000),
    ('buried', 1, 'applied',    16, true,  false, true,  90000),
    ('legacy', 5, NULL,          0, false, false, false, 900000),
    ('done',   6, 'applied',     1, true,  false, false, 50000)
) AS rows (kind, times, outcome, attempts, relayed, published, dead, age), generate_series(1, times) AS n
"""


@pytest_asyncio.fixture
async def own(role_url: Callable[[str], str]) -> AsyncIterator[Database]:
    """PostgreSQL as healthd's own role sees it, through one connection."""
    async with Database.connect(role_url("healthd"), application_name="healthd", max_size=1) as database:
        yield database


async def test_the_journal_is_counted_by_what_becomes_of_its_rows(database: Database, own: Database) -> None:
    """Dead, legacy and processed rows are no backlog; parked ones have their own count and no age."""
    await database.execute(ROWS)
    seen = await look_at_webhooks(own, count_limit=1000, within_seconds=SECONDS)
    assert (seen.backlog, seen.failing, seen.parked, seen.dead) == (10, 2, 5, 2)
    assert seen.oldest_unprocessed_age_seconds == pytest.approx(600, abs=30)
    assert seen.oldest_untried_age_seconds == pytest.approx(5, abs=30)
    assert not seen.is_lower_bound


async def test_counting_stops_at_its_limit(database: Database, own: Database) -> None:
    """A backlog of any size costs a bounded count, which says that it was cut short."""
    await database.execute(ROWS)
    seen = await look_at_webhooks(own, count_limit=2, within_seconds=SECONDS)
    assert seen.is_lower_bound
    assert (seen.backlog, seen.dead) == (4, 2)


async def test_an_empty_journal_counts_nothing(own: Database) -> None:
    """No row, no age."""
    assert await look_at_webhooks(own, count_limit=10, within_seconds=SECONDS) == WebhooksSeen()


async def test_the_count_reads_the_partial_indexes(database: Database, own: Database) -> None:
    """Among a hundred thousand processed rows, counting three unprocessed ones scans no table."""
    await database.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, processed, next_attempt_at) "
        "SELECT 'evt_' || n, 'charge.succeeded', true, now() FROM generate_series(1, 20000) AS n"
    )
    await database.execute(ROWS)
    await database.execute("ANALYZE webhook_logs")
    count = load_queries(str(Path("healthd/database.py").resolve()), "poll.sql")["count_webhooks"]
    plan = "\n".join(row[0] for row in await own.fetch(f"EXPLAIN {count.replace('$1', '10000')}"))
    assert "Seq Scan on webhook_logs" not in plan, plan
    assert "webhook_logs_due" in plan
    assert "webhook_logs_untried" in plan
    assert "webhook_logs_dead" in plan


async def test_the_server_is_measured(own: Database) -> None:
    """Latency, and connections against what the server allows."""
    seen = await look_at_database(own, within_seconds=SECONDS)
    assert 0 < seen.latency_seconds < SECONDS
    assert 0 < seen.connections < seen.connections_limit


async def test_connections_of_other_roles_are_counted(database_url: str, own: Database) -> None:
    """The role may not see what others do, yet it sees that they are there."""
    before = (await look_at_database(own, within_seconds=SECONDS)).connections
    others = [await asyncpg.connect(database_url) for _ in range(3)]
    after = (await look_at_database(own, within_seconds=SECONDS)).connections
    for other in others:
        await other.close()
    assert after >= before + 3


async def test_a_secret_that_the_public_may_read_is_found(database: Database, own: Database) -> None:
    """A GRANT to Supabase's anon on the whole table covers the secrets in it; taking it back cures it."""
    assert await look_at_schema(own, within_seconds=SECONDS) == SchemaSeen()
    async with _anon(database):
        await _expose_and_cover(database, own)


async def _expose_and_cover(database: Database, own: Database) -> None:
    await database.execute("ALTER TABLE events DISABLE ROW LEVEL SECURITY")
    await database.execute("GRANT SELECT ON events TO anon")
    assert await look_at_schema(own, within_seconds=SECONDS) == SchemaSeen(("secret_readable",))
    await database.execute("REVOKE ALL ON events FROM anon")
    assert await look_at_schema(own, within_seconds=SECONDS) == SchemaSeen()


@asynccontextmanager
async def _anon(database: Database) -> AsyncIterator[None]:
    """Supabase's public role; roles belong to the whole server, so one that was not there before goes again."""
    if await database.fetch("SELECT FROM pg_roles WHERE rolname = 'anon'"):
        yield
        return
    await database.execute("CREATE ROLE anon NOLOGIN")
    try:
        yield
    finally:
        await database.execute("DROP OWNED BY anon; DROP ROLE anon")


async def test_health_has_no_right_to_bodies_or_secrets(own: Database) -> None:
    """The role reads what it counts, never what Stripe or an organiser confided."""
    for query in ("SELECT body FROM webhook_logs", "SELECT webhook_secret FROM events", "SELECT * FROM webhook_logs"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await own.fetch(query)


async def test_a_database_without_the_tables_is_told_from_one_that_is_down(empty_database_url: str) -> None:
    """It answers, and the journal is missing: that is the schema's fault, and no webhook can be taken in."""
    async with Database.connect(empty_database_url, application_name="healthd", max_size=1) as database:
        state = HealthState([], Limits())
        await DatabasePoll(state, database, count_limit=10, within_seconds=SECONDS).look()
    assert state.snapshot.database.problem is None
    assert state.snapshot.webhooks.problem is Problem.NO_SCHEMA
    assert Reason.SCHEMA_MISSING in {finding.reason for finding in state.verdict().findings}


async def test_a_count_that_takes_too_long_is_given_up(database: Database, own: Database) -> None:
    """A table that is locked costs the look its deadline; PostgreSQL itself is still seen as up."""
    async with database.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE webhook_logs IN ACCESS EXCLUSIVE MODE")
        state = HealthState([], Limits())
        started = time.monotonic()
        await DatabasePoll(state, own, count_limit=10, within_seconds=0.4).look()
    assert time.monotonic() - started < 3
    assert state.snapshot.database.problem is None
    assert state.snapshot.webhooks.problem is Problem.TIMED_OUT


def caused_by(error: Exception) -> DatabaseUnavailable:
    """No connection was to be had, for this reason."""
    unavailable = DatabaseUnavailable("no connection")
    unavailable.__cause__ = error
    return unavailable


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (TimeoutError(), Problem.TIMED_OUT),
        (ConnectionRefusedError(), Problem.UNREACHABLE),
        (caused_by(socket.gaierror(-2, "secret")), Problem.UNRESOLVED),
        (caused_by(asyncpg.InvalidPasswordError("secret")), Problem.FORBIDDEN),
        (caused_by(asyncpg.InvalidCatalogNameError("secret")), Problem.NO_DATABASE),
        (caused_by(ConnectionRefusedError()), Problem.UNREACHABLE),
        (DatabaseUnavailable(), Problem.UNREACHABLE),
        (asyncpg.InsufficientPrivilegeError("secret"), Problem.FORBIDDEN),
        (asyncpg.UndefinedColumnError("secret"), Problem.NO_SCHEMA),
        (asyncpg.TooManyConnectionsError("secret"), Problem.BAD_ANSWER),
    ],
)
def test_errors_are_known_by_a_short_name_alone(error: Exception, problem: Problem) -> None:
    """Whatever the text says, only the name goes on."""
    assert isinstance(error, DATABASE_ERRORS)
    assert problem_of(error) is problem


async def test_a_stopped_postgresql_is_seen_and_so_is_its_return(session_folder: Path) -> None:
    """Stopped: unhealthy within two looks, the last figures kept. Started again: healthy, without a restart of ours."""
    server = await PostgresServer.start(session_folder / "postgres-of-healthd")
    try:
        async with Database.connect(server.url("postgres"), application_name="healthd", max_size=1) as database:
            state = HealthState([], Limits())
            poll = DatabasePoll(state, database, count_limit=10, within_seconds=SECONDS)
            await poll.look()
            assert state.verdict().of(Part.DATABASE) is not Status.UNKNOWN
            await server.stop()
            await _look_until(poll, lambda: state.snapshot.database.problem is not None)
            await poll.look()
            assert Reason.DATABASE_DOWN in {finding.reason for finding in state.verdict().findings}
            assert state.snapshot.database.seen is not None
            await server.restart()
            await _look_until(poll, lambda: state.snapshot.database.problem is None)
            await poll.look()
            assert Reason.DATABASE_DOWN not in {finding.reason for finding in state.verdict().findings}
    finally:
        await server.stop()


async def _look_until(poll: DatabasePoll, is_so: Callable[[], bool]) -> None:
    async def sees() -> bool:
        await poll.look()
        return is_so()

    await until(sees)
