"""Looks at PostgreSQL, through the one connection that healthd has."""

import asyncio
import time
from collections.abc import Mapping

from healthd.observations import (
    DatabaseSeen,
    GrowthSeen,
    PausesSeen,
    Problem,
    SchemaSeen,
    StripeSeen,
    TableSeen,
    WebhooksSeen,
)
from sluice.failures import DatabaseUnavailable
from sluice.postgres.errors import cause_of
from sluice.postgres.pool import Database
from sluice.postgres.sql import load_queries
from sluice.postgres.sqlstate import Cause

_SQL = load_queries(__file__, "poll.sql")
_SERVER_SHARE_MS = 800  # the server gives up a little before us, and says why

_PROBLEMS: Mapping[Cause, Problem] = {
    Cause.HOST_UNKNOWN: Problem.UNRESOLVED,
    Cause.NO_ANSWER: Problem.TIMED_OUT,
    Cause.CANCELED: Problem.TIMED_OUT,
    Cause.TABLE_MISSING: Problem.NO_SCHEMA,
    Cause.SCHEMA_OLDER: Problem.NO_SCHEMA,
    Cause.LOGIN_REFUSED: Problem.FORBIDDEN,
    Cause.RIGHT_MISSING: Problem.FORBIDDEN,
    Cause.DATABASE_UNKNOWN: Problem.NO_DATABASE,
    Cause.UNAVAILABLE: Problem.UNREACHABLE,
    Cause.TRANSACTION_POOLER: Problem.UNREACHABLE,
    Cause.TLS_FAILED: Problem.UNREACHABLE,
    Cause.CONNECTION_REFUSED: Problem.UNREACHABLE,
    Cause.CONNECTION_LOST: Problem.UNREACHABLE,
}


async def look_at_database(database: Database, *, within_seconds: float) -> DatabaseSeen:
    """Measure whether PostgreSQL answers, how fast, and how full it is. Raises one of DATABASE_ERRORS."""
    async with asyncio.timeout(within_seconds), database.acquire(within_seconds=within_seconds) as connection:
        started = time.perf_counter()
        await connection.execute(_SQL["ping"])
        latency_seconds = time.perf_counter() - started
        (row,) = await connection.fetch(_SQL["look_at_server"])
    return DatabaseSeen(
        latency_seconds=latency_seconds,
        connections=row["connections"],
        connections_limit=row["connections_limit"],
        oldest_transaction_seconds=row["oldest_transaction_seconds"],
    )


async def look_at_webhooks(database: Database, *, count_limit: int, within_seconds: float) -> WebhooksSeen:
    """Count waiting, failing and dead webhooks, each up to ``count_limit``. Raises one of DATABASE_ERRORS."""
    async with (
        asyncio.timeout(within_seconds),
        database.acquire(within_seconds=within_seconds) as connection,
        connection.transaction(readonly=True),
    ):
        await connection.execute(_SQL["limit_statement"], str(int(within_seconds * _SERVER_SHARE_MS)))
        (row,) = await connection.fetch(_SQL["count_webhooks"], count_limit)
    return WebhooksSeen(**dict(row), is_lower_bound=max(row["backlog"], row["dead"]) >= count_limit)


async def move_watermark(database: Database, *, is_whole: bool, within_seconds: float) -> None:
    """Note where the first open webhooks are, for all who look for some. Raises one of DATABASE_ERRORS."""
    async with (
        asyncio.timeout(within_seconds),
        database.acquire(within_seconds=within_seconds) as connection,
        connection.transaction(),
    ):
        await connection.execute(_SQL["limit_statement"], str(int(within_seconds * _SERVER_SHARE_MS)))
        await connection.execute(_SQL["move_watermark"], is_whole)


async def look_at_schema(database: Database, *, within_seconds: float) -> SchemaSeen:
    """Read the faults that the schema's own check finds. Raises one of DATABASE_ERRORS."""
    async with asyncio.timeout(within_seconds), database.acquire(within_seconds=within_seconds) as connection:
        rows = await connection.fetch(_SQL["look_at_schema"])
    return SchemaSeen(tuple(row["name"] for row in rows))


async def look_at_stripe(database: Database, *, within_seconds: float) -> StripeSeen:
    """Read how far the reconciler has come. Raises one of DATABASE_ERRORS."""
    async with asyncio.timeout(within_seconds), database.acquire(within_seconds=within_seconds) as connection:
        (row,) = await connection.fetch(_SQL["look_at_stripe"])
    return StripeSeen(**dict(row))


async def look_at_growth(database: Database, *, within_seconds: float) -> GrowthSeen:
    """Read how big the tables are, and for how long there are partitions. Raises one of DATABASE_ERRORS."""
    async with asyncio.timeout(within_seconds), database.acquire(within_seconds=within_seconds) as connection:
        tables = await connection.fetch(_SQL["look_at_growth"])
        partitions = await connection.fetch(_SQL["look_at_partitions"])
    days = partitions[0]["days"] if partitions else None
    return GrowthSeen(tuple(TableSeen(**dict(row)) for row in tables), days)


async def look_at_pauses(database: Database, *, count_limit: int, within_seconds: float) -> PausesSeen:
    """Read what is paused, and count what waits for it. Raises one of DATABASE_ERRORS."""
    async with asyncio.timeout(within_seconds), database.acquire(within_seconds=within_seconds) as connection:
        (row,) = await connection.fetch(_SQL["look_at_pauses"], count_limit)
    return PausesSeen(**dict(row))


def problem_of(error: Exception) -> Problem:
    """The short name of what went wrong, or caused it; never its text, which may hold an address."""
    cause = error.__cause__ if isinstance(error, DatabaseUnavailable) and error.__cause__ else error
    return _PROBLEMS.get(cause_of(cause), Problem.BAD_ANSWER)
