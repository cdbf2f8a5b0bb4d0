import asyncio
import socket
import ssl
from urllib.parse import urlsplit

import asyncpg
import pytest

from devstack.postgres import PostgresServer
from sluice.failures import DatabaseUnavailable
from sluice.postgres.connect_options import connect_arguments
from sluice.postgres.pool import Database, is_transient
from sluice.runtime import metrics
from tests.waiting import until
from tests.wire import Wire


def _metric(name: str) -> float:
    lines = metrics.render().decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).rsplit(" ", 1)[1])


async def test_a_hundred_tasks_share_ten_connections_without_timeout_or_leak(empty_database_url: str) -> None:
    """While they wait the metrics say so; afterwards every connection is idle again."""
    seen: set[tuple[bool, float]] = set()
    all_ten = asyncio.Barrier(10)

    async def work(database: Database) -> None:
        async with database.acquire(within_seconds=30) as connection:
            await connection.execute("SELECT 1")
            await all_ten.wait()
            seen.add((_metric("postgres_pool_waiters") > 0, _metric('postgres_pool_connections{state="busy"}')))

    timeouts = _metric("postgres_pool_acquire_timeouts_total")
    acquired = _metric("postgres_pool_acquire_seconds_count")
    async with Database.connect(empty_database_url, application_name="test", max_size=10) as database:
        await asyncio.gather(*(work(database) for _ in range(100)))
        assert database.status() == {"size": 10, "idle": 10, "busy": 0, "max": 10, "waiters": 0}
        assert _metric("postgres_pool_connections_max") == 10
    assert any(waiting and busy == 10 for waiting, busy in seen)
    assert _metric("postgres_pool_acquire_timeouts_total") == timeouts
    assert _metric("postgres_pool_acquire_seconds_count") >= acquired + 100


async def test_a_pool_that_is_exhausted_is_unavailable_in_time_and_counted(empty_database_url: str) -> None:
    """A caller gets an answer by its deadline, and the next one a connection."""
    before = _metric("postgres_pool_acquire_timeouts_total")
    async with Database.connect(empty_database_url, application_name="test", max_size=1) as database:
        async with database.acquire():
            with pytest.raises(DatabaseUnavailable, match=r"no connection within 0\.1 s \(1 of 1 busy"):
                async with database.acquire(within_seconds=0.1):
                    pass
        assert await database.fetch("SELECT 1 AS one", within_seconds=1)
    assert _metric("postgres_pool_acquire_timeouts_total") == before + 1


async def test_cancelled_waiters_and_holders_leave_no_connection_behind(empty_database_url: str) -> None:
    """Tasks that are cancelled anywhere in their life give back what they had."""

    async def work(database: Database) -> None:
        async with database.acquire(within_seconds=5) as connection:
            await connection.execute("SELECT pg_sleep(5)")

    async with Database.connect(empty_database_url, application_name="test", max_size=2) as database:
        tasks = [asyncio.create_task(work(database)) for _ in range(8)]
        await until(lambda: (database.status()["busy"], database.status()["waiters"]) == (2, 6))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        rows = await asyncio.gather(*(database.fetch("SELECT 1", within_seconds=3) for _ in range(20)))
        assert len(rows) == 20
        assert database.status()["busy"] == 0


async def test_the_floor_is_opened_ahead_of_need(empty_database_url: str) -> None:
    """The first webhook after a quiet night waits for no handshake."""
    async with Database.connect(empty_database_url, application_name="test", min_size=3) as database:
        await until(lambda: database.status()["idle"] == 3)


async def test_a_stopped_postgresql_is_unavailable_at_once_and_heals_alone(own_postgres: PostgresServer) -> None:
    """From stop to start the same pool serves: no hang, no restart of ours."""
    async with Database.connect(own_postgres.url("postgres"), application_name="test", max_size=4) as database:
        await asyncio.gather(*(database.fetch("SELECT pg_sleep(0.05)") for _ in range(4)))
        await own_postgres.stop()
        async with asyncio.timeout(1):
            for _ in range(20):
                with pytest.raises(DatabaseUnavailable):
                    await database.fetch("SELECT 1")
        await own_postgres.restart()
        async with asyncio.timeout(1):
            assert (await database.fetch("SELECT 1 AS one"))[0]["one"] == 1
            assert await database.execute("CREATE TEMP TABLE t ()") == "CREATE TABLE"


async def test_a_service_starts_without_postgresql() -> None:
    """Opening the pool asks nothing of the server."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        dsn = f"postgresql://nobody:x@127.0.0.1:{reserved.getsockname()[1]}/none"
        async with asyncio.timeout(2), Database.connect(dsn, application_name="test") as database:
            with pytest.raises(DatabaseUnavailable, match="ConnectionRefusedError"):
                await database.fetch("SELECT 1")
            assert database.status()["size"] == 0


async def test_a_statement_that_was_killed_is_unavailable_and_the_pool_goes_on(empty_database_url: str) -> None:
    """Ending one backend by hand breaks no other connection."""
    async with Database.connect(empty_database_url, application_name="victim", max_size=2) as database:
        victim = asyncio.create_task(database.fetch("SELECT pg_sleep(5)"))
        kill = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'victim' AND query LIKE '%pg_sleep(5)%' AND pid <> pg_backend_pid()"
        )

        async def killed() -> bool:
            return bool(await database.fetch(kill))

        await until(killed)
        with pytest.raises(DatabaseUnavailable):
            await victim
        assert await database.fetch("SELECT 1")


async def test_a_read_only_server_makes_every_connection_anew(empty_database_url: str) -> None:
    """After a failover the old primary still answers; only new connections find the new one."""
    async with Database.connect(empty_database_url, application_name="test", max_size=1) as database:
        (before,) = await database.fetch("SELECT pg_backend_pid() AS pid")
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with database.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute("CREATE TABLE t ()")
        (after,) = await database.fetch("SELECT pg_backend_pid() AS pid")
        assert after["pid"] != before["pid"]


async def test_a_dead_wire_costs_a_caller_its_deadline_and_no_more(empty_database_url: str, wire: type[Wire]) -> None:
    """A host that says nothing, not even goodbye, blocks neither this caller nor, once it is back, another."""
    parts = urlsplit(empty_database_url)
    assert parts.hostname
    assert parts.port
    async with wire(parts.hostname, parts.port).open() as line:
        dsn = empty_database_url.replace(f":{parts.port}/", f":{line.port}/")
        async with Database.connect(dsn, application_name="test", max_size=2, command_seconds=0.5) as database:
            await database.fetch("SELECT 1")
            line.cut()
            async with asyncio.timeout(4):
                for _ in range(3):
                    with pytest.raises(DatabaseUnavailable):
                        await database.fetch("SELECT 1", within_seconds=0.5)
            line.mend()
            async with asyncio.timeout(3):
                assert await database.fetch("SELECT 1", within_seconds=3)


async def test_a_connection_that_cannot_be_made_is_given_up(wire: type[Wire]) -> None:
    """A host that accepts and says nothing must not hold a place in the pool for the minute that asyncpg allows."""
    async with wire("127.0.0.1", 1).open() as line:
        line.cut()
        dsn = f"postgresql://nobody@127.0.0.1:{line.port}/none"
        async with Database.connect(dsn, application_name="test", min_size=0) as database, asyncio.timeout(5):
            with pytest.raises(DatabaseUnavailable):
                await database.fetch("SELECT 1", within_seconds=30)


async def test_what_was_left_open_is_rolled_back_before_the_next_caller(empty_database_url: str) -> None:
    """We save the reset's round trip; an open transaction must not travel all the same."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # asyncpg tells of the abandoned transaction
    async with Database.connect(empty_database_url, application_name="test", max_size=1) as database:
        async with database.acquire() as connection:
            await connection.execute("BEGIN; CREATE TABLE left_behind ()")
        async with database.acquire() as connection:
            assert not connection.is_in_transaction()
        (row,) = await database.fetch("SELECT to_regclass('left_behind') AS found")
        assert row["found"] is None
    loop.set_exception_handler(None)


async def test_time_limits_hold_on_the_server_too(empty_database_url: str) -> None:
    """A client that dies leaves no statement, lock or transaction behind for long."""
    async with (
        Database.connect(empty_database_url, application_name="ingest", command_seconds=4) as database,
        database.acquire() as connection,
    ):
        shown = {
            name: await connection.fetchval(f"SHOW {name}")
            for name in ("application_name", "statement_timeout", "idle_in_transaction_session_timeout", "timezone")
        }
    assert shown == {
        "application_name": "ingest",
        "statement_timeout": "3750ms",
        "idle_in_transaction_session_timeout": "20s",
        "timezone": "UTC",
    }


async def test_an_idle_connection_notices_a_peer_that_is_gone(empty_database_url: str) -> None:
    """The kernel probes it: asyncpg by itself would wait for ever."""
    async with (
        Database.connect(empty_database_url, application_name="test") as database,
        database.acquire() as connection,
    ):
        peer = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_behind_a_transaction_pooler_nothing_is_set_for_a_session() -> None:
    """PgBouncer refuses startup parameters that it does not know, and prepared statements are another client's."""
    arguments = connect_arguments(
        "postgresql://db/x", application_name="test", command_seconds=5, statement_cache=False
    )
    assert arguments["statement_cache_size"] == 0
    assert "server_settings" not in arguments


async def test_without_a_statement_cache_statements_still_work(empty_database_url: str) -> None:
    """The settings for a pooler in transaction mode."""
    async with Database.connect(empty_database_url, application_name="test", statement_cache=False) as database:
        assert (await database.fetch("SELECT $1::int + 1 AS two", 1))[0]["two"] == 2


async def test_a_server_without_tls_is_refused_where_tls_is_asked_for(empty_database_url: str) -> None:
    """``sslmode=require`` in the DSN never falls back to plain text."""
    async with Database.connect(f"{empty_database_url}?sslmode=require", application_name="test") as database:
        with pytest.raises(DatabaseUnavailable):
            await database.fetch("SELECT 1")


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (asyncpg.DeadlockDetectedError(), True),
        (asyncpg.ReadOnlySQLTransactionError(), True),
        (asyncpg.AdminShutdownError(), True),
        (asyncpg.LockNotAvailableError(), True),
        (asyncpg.DiskFullError(), True),
        (asyncpg.ConnectionDoesNotExistError(), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (DatabaseUnavailable(), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (ssl.SSLError(), True),
        (asyncpg.UniqueViolationError(), False),
        (asyncpg.UndefinedTableError(), False),
        (asyncpg.exceptions.DataError(), False),
        (asyncpg.RaiseError(), False),
        (KeyError("id"), False),
    ],
)
def test_only_what_may_pass_by_itself_is_transient(error: BaseException, transient: bool) -> None:
    """The work's own faults count as attempts; everything else is tried again as if nothing had been."""
    assert is_transient(error) is transient


async def test_an_argument_that_asyncpg_refuses_is_our_fault(empty_database_url: str) -> None:
    """Waiting will not cure it, so it is not called unavailable."""
    async with Database.connect(empty_database_url, application_name="test") as database:
        with pytest.raises(asyncpg.exceptions.DataError) as raised:
            await database.fetch("SELECT $1::int", "one")
    assert not is_transient(raised.value)
