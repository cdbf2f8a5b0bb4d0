"""Make an operator's transitions in a transaction that is rolled back; without a record, for nothing happens."""

from collections.abc import Collection

from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "rehearsals.sql")


async def rehearse_retry(connection: Connection, stripe_event_ids: Collection[str]) -> Collection[str]:
    """Make waiting rows due; the ids of those that were changed."""
    return await _change(connection, ("retry",), stripe_event_ids)


async def rehearse_replay(connection: Connection, stripe_event_ids: Collection[str]) -> Collection[str]:
    """Begin another life of rows that are dead or over; the ids of those that were changed."""
    return await _change(connection, ("replay", "replay_ended"), stripe_event_ids)


async def _change(connection: Connection, queries: Collection[str], ids: Collection[str]) -> Collection[str]:
    held = {row["stripe_event_id"] for row in await connection.fetch(QUERIES["hold"], list(ids))}
    changed: set[str] = set()
    for query in queries:
        rows = await connection.fetch(QUERIES[query], sorted(held - changed))
        changed.update(row["stripe_event_id"] for row in rows)
    return changed
