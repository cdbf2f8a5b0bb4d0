"""The watermark: no open webhook is ever behind it."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from healthd.database import look_at_database, look_at_webhooks, move_watermark
from sluice.postgres.pool import Database

SECONDS = 20
ROW = (
    "INSERT INTO webhook_logs (stripe_event_id, webhook_type, published_at, next_attempt_at, created_at, processed) "
    "SELECT $1 || n, 'charge.succeeded', now() - $2 * interval '1 second', now() - $2 * interval '1 second', now(), $3 "
    "FROM generate_series(1, $4) AS n"
)


@pytest_asyncio.fixture
async def own(role_url: Callable[[str], str]) -> AsyncIterator[Database]:
    """PostgreSQL as healthd's own role sees it."""
    async with Database.connect(role_url("healthd"), application_name="healthd", max_size=1) as database:
        yield database


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the test's own."""
    connection = await asyncpg.connect(database_url, timeout=10)
    yield connection
    await connection.close(timeout=5)


async def mark(db: "asyncpg.Connection[asyncpg.Record]") -> tuple[Any, ...]:
    """How many seconds before now the mark stands, for untried and for due rows."""
    row = await db.fetchrow(
        "SELECT extract(epoch FROM now() - untried_from)::float8, extract(epoch FROM now() - due_from)::float8 "
        "FROM queue_watermark"
    )
    assert row is not None
    return tuple(row)


async def test_the_mark_stands_before_the_first_open_row(own: Database, db: Any) -> None:
    """With a margin for what is committed late; where nothing is open, before now."""
    await db.execute(ROW, "evt_done_", 900, True, 5)
    await db.execute(ROW, "evt_open_", 100, False, 1)
    await move_watermark(own, is_whole=True, within_seconds=SECONDS)
    untried, due = await mark(db)
    assert untried == pytest.approx(115, abs=15)
    assert due == pytest.approx(15, abs=15)
    seen = await look_at_webhooks(own, count_limit=10, within_seconds=SECONDS)
    assert seen.backlog == 1


async def test_the_mark_moves_once_a_minute(own: Database, db: Any) -> None:
    """Each move leaves a version of its row behind."""
    await move_watermark(own, is_whole=False, within_seconds=SECONDS)
    before = await db.fetchval("SELECT xmin::text FROM queue_watermark")
    await move_watermark(own, is_whole=True, within_seconds=SECONDS)
    assert await db.fetchval("SELECT xmin::text FROM queue_watermark") == before
    await db.execute("UPDATE queue_watermark SET moved_at = now() - interval '2 minutes'")
    await move_watermark(own, is_whole=False, within_seconds=SECONDS)
    assert await db.fetchval("SELECT now() - moved_at < interval '1 minute' FROM queue_watermark")


async def test_a_whole_look_finds_what_the_mark_has_passed(own: Database, db: Any) -> None:
    """A row committed far behind the mark, as by a clock that was set back."""
    await db.execute("UPDATE queue_watermark SET untried_from = now(), due_from = now()")
    await db.execute(ROW, "evt_late_", 600, False, 1)
    assert (await look_at_webhooks(own, count_limit=10, within_seconds=SECONDS)).backlog == 0
    await move_watermark(own, is_whole=True, within_seconds=SECONDS)
    assert (await look_at_webhooks(own, count_limit=10, within_seconds=SECONDS)).backlog == 1


async def test_a_look_does_not_walk_over_what_an_open_transaction_keeps(
    own: Database, db: Any, database_url: str
) -> None:
    """A dump holds its snapshot: thousands of processed webhooks later a look reads as few blocks as before."""
    holder = await asyncpg.connect(database_url, timeout=10)
    try:
        async with holder.transaction(isolation="repeatable_read"):
            await holder.fetchval("SELECT count(*) FROM webhook_logs")
            await db.execute(ROW, "evt_many_", 600, False, 20_000)
            await db.execute("UPDATE webhook_logs SET processed = true")
            await move_watermark(own, is_whole=True, within_seconds=SECONDS)
            assert await _blocks(db) <= 60
            await db.execute("UPDATE queue_watermark SET untried_from = '-infinity'")
            assert await _blocks(db) > 200
    finally:
        await holder.close(timeout=5)


async def test_the_oldest_transaction_is_seen(own: Database, database_url: str) -> None:
    """One that has a snapshot; a session that is merely idle is none."""
    assert (await look_at_database(own, within_seconds=SECONDS)).oldest_transaction_seconds < SECONDS
    holder = await asyncpg.connect(database_url, timeout=10)
    try:
        async with holder.transaction(isolation="repeatable_read"):
            began = await holder.fetchval("SELECT now()")
            other = await asyncpg.connect(database_url, timeout=10)
            age = await other.fetchval("SELECT extract(epoch FROM clock_timestamp() - $1::timestamptz)::float8", began)
            await other.close(timeout=5)
            assert (await look_at_database(own, within_seconds=SECONDS)).oldest_transaction_seconds >= age
    finally:
        await holder.close(timeout=5)


async def _blocks(db: "asyncpg.Connection[asyncpg.Record]") -> int:
    """How many blocks the relay's look for lost messages touches."""
    plan = await db.fetchval(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT id FROM webhook_logs "
        "WHERE NOT processed AND dead_at IS NULL AND next_attempt_at <= now() AND published_at IS NOT NULL "
        "AND published_at < now() "
        "AND published_at >= coalesce((SELECT untried_from FROM queue_watermark), '-infinity') "
        "ORDER BY published_at LIMIT 500"
    )
    found = json.loads(plan)[0]["Plan"]
    return int(found["Shared Hit Blocks"]) + int(found["Shared Read Blocks"])
