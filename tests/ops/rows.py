"""Rows as the services would write them, made by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
MORNING = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection for a few statements."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def insert(connection: Connection, table: str, **columns: object) -> None:
    """One row."""
    places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608  names from tests
    await connection.execute(statement, *columns.values())


async def insert_webhook(connection: Connection, key: str, **columns: object) -> None:
    """A row of webhook_logs: received just now, published once, not processed."""
    now = datetime.now(UTC)
    row = {"webhook_type": "payment_intent.succeeded", "verified_by": "platform:0a1b2c3d", "publications": 1}
    times = {"next_attempt_at": now, "published_at": now}
    await insert(connection, "webhook_logs", **{"stripe_event_id": key, **row, **times, **columns})


async def insert_fact(connection: Connection, event: str, *, minutes: int, **columns: object) -> None:
    """A row of the ledger of pi_1 in the platform's test account."""
    row = {"scope": "test:platform", "payment_id": "pi_1", "said_at": MORNING + timedelta(minutes=minutes)}
    await insert(connection, "payment_fact", **{**row, "stripe_event_id": event, **columns})
