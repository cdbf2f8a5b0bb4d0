"""The pool behind a real PgBouncer, in both of its modes, with PgBouncer's default configuration."""

import asyncio
from collections.abc import Callable

import pytest

from sluice.error_log.error_log import ErrorLog
from sluice.failures import DatabaseUnavailable
from sluice.postgres.pool import Database
from tests.ingest.running import NOWHERE, running
from tests.ingest.webhooks import webhook
from tests.postgres.pgbouncer import pgbouncer
from tests.waiting import until

_SHOWN = ("application_name", "statement_timeout", "idle_in_transaction_session_timeout", "timezone", "plan_cache_mode")


async def test_in_session_mode_every_setting_is_in_force(empty_database_url: str) -> None:
    """On each connection of the pool; PgBouncer refuses them together with the login."""

    async def settings(database: Database) -> tuple[str, ...]:
        async with database.acquire(within_seconds=10) as connection:
            return tuple([await connection.fetchval(f"SHOW {name}") for name in _SHOWN])

    async with (
        pgbouncer(empty_database_url, "session") as url,
        Database.connect(url, application_name="ingest", command_seconds=4, keeps_plans=True) as database,
    ):
        shown = await asyncio.gather(*(settings(database) for _ in range(3)))
    assert set(shown) == {("ingest", "3750ms", "20s", "UTC", "force_generic_plan")}


async def test_in_session_mode_a_pool_as_large_as_pgbouncer_s_is_filled(empty_database_url: str) -> None:
    """The look at what sits in between asks for one session more, and does without it before a webhook gives up."""

    async def answers() -> bool:
        try:
            return bool(await database.fetch("SELECT $1::int", 1, within_seconds=2))
        except DatabaseUnavailable:
            return False

    async with (
        pgbouncer(empty_database_url, "session", sessions=1) as url,
        Database.connect(url, application_name="test", min_size=0, max_size=1) as database,
    ):
        await until(answers, what="a connection")


@pytest.mark.parametrize("statement_cache", [True, False])
async def test_ingest_takes_webhooks_through_session_mode(
    role_url: Callable[[str], str], statement_cache: bool
) -> None:
    """With and without prepared statements."""
    async with (
        pgbouncer(role_url("ingest"), "session", sessions=20) as url,
        running(url, NOWHERE, database_statement_cache=statement_cache) as ingest,
    ):
        replies = await asyncio.gather(*(ingest.deliver(webhook(f"evt_{number}")) for number in range(50)))
    assert {reply.status for reply in replies} == {200}


async def test_ingest_takes_webhooks_through_transaction_mode(role_url: Callable[[str], str]) -> None:
    """With DATABASE_STATEMENT_CACHE=false, whatever session each statement gets."""
    async with (
        pgbouncer(role_url("ingest"), "transaction", sessions=3) as url,
        running(url, NOWHERE, database_statement_cache=False) as ingest,
    ):
        for start in range(0, 200, 20):
            numbers = range(start, start + 20)
            replies = await asyncio.gather(*(ingest.deliver(webhook(f"evt_{number}")) for number in numbers))
            assert {reply.status for reply in replies} == {200}


async def test_transaction_mode_is_named_where_prepared_statements_are_wanted(empty_database_url: str) -> None:
    """No statement is lost half-way: there is no connection, and the reason says what to set."""
    async with (
        pgbouncer(empty_database_url, "transaction") as url,
        Database.connect(url, application_name="test") as database,
    ):
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable, match="DATABASE_STATEMENT_CACHE=false"):
                await database.fetch("SELECT $1::int", 1, within_seconds=5)


async def test_errors_are_stored_through_session_mode(role_url: Callable[[str], str], database: Database) -> None:
    """The error log has a connection of its own."""
    async with pgbouncer(role_url("ingest"), "session") as url, asyncio.TaskGroup() as group:
        errors, stop = ErrorLog(url, service="ingest"), asyncio.Event()
        group.create_task(errors.run(stop))
        errors.general("told through PgBouncer")
        stop.set()
    assert [row["message"] for row in await database.fetch("SELECT message FROM error_logs")] == [
        "told through PgBouncer"
    ]
