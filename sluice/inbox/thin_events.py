"""End the wait of a thin event, in the transaction that records what Stripe said of it."""

from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "thin_events.sql")
_LONGEST_REASON = 300


async def end_fetched(tx: Connection, stripe_event_id: str) -> bool:
    """Its fact has a row of its own in the log. Whether it still waited."""
    return await _end(tx, stripe_event_id, "fetched", None)


async def end_unfetchable(tx: Connection, stripe_event_id: str, reason: str) -> bool:
    """Stripe cannot or may not tell us its fact, and says why. Whether it still waited."""
    return await _end(tx, stripe_event_id, "unfetchable", reason[:_LONGEST_REASON])


async def _end(tx: Connection, stripe_event_id: str, outcome: str, reason: str | None) -> bool:
    rows = await tx.fetch(QUERIES["end_fetch"], stripe_event_id, outcome, reason)
    has_waited: bool = rows[0]["has_waited"]
    return has_waited
