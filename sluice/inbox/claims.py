"""Claim rows in a transaction, settle them in the same one; count runs that began alone and never ended."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sluice.contract.event import StripeEvent
from sluice.postgres.pool import Connection, Database, Record
from sluice.postgres.sql import columns, load_queries

QUERIES = load_queries(__file__, "claims.sql")


class TransactionLimits(NamedTuple):
    """Limits that PostgreSQL keeps for the transaction that claims; milliseconds, as text."""

    statement: str
    lock: str
    idle: str


class Parking(NamedTuple):
    """How a parked row waits."""

    reason: str
    delay_seconds: float


async def claim(
    tx: Connection,
    attempts: Mapping[str, int],
    digests: Sequence[bytes | None],
    *,
    is_isolated: bool,
    patience_seconds: float,
    limits: TransactionLimits,
) -> Sequence[Record]:
    """
    Lock the rows whose turn it is and give what they hold.

    Args:
        attempts: the attempt of each message, by ``stripe_event_id``.
        digests: of each body; None of a small one, which is given back. Empty where all are None.
        is_isolated: the start of this run is committed to its row.
        patience_seconds: how long a parked row may wait; after that, this is its last look.
    """
    return await tx.fetch(
        QUERIES["claim"], list(attempts), list(attempts.values()), digests, is_isolated, patience_seconds, *limits
    )


async def look(
    tx: Connection, stripe_event_ids: Sequence[str], digests: Sequence[bytes | None]
) -> Mapping[str, Record]:
    """Read what the rows say that could not be claimed, by id."""
    rows = await tx.fetch(QUERIES["look"], stripe_event_ids, digests)
    return {row["stripe_event_id"]: row for row in rows}


async def read_fetched(tx: Connection, stripe_event_ids: Sequence[str]) -> Collection[str]:
    """Read which of these rows hold what Stripe's API gave."""
    rows = await tx.fetch(QUERIES["read_fetched"], stripe_event_ids)
    return [row["stripe_event_id"] for row in rows]


async def settle_processed(tx: Connection, outcomes: Mapping[str, str], claimed_in: str) -> Mapping[str, float]:
    """
    Mark claimed rows as processed: the last statement before the commit that makes the effects true.

    Args:
        outcomes: what ``outcome`` says, by id.
        claimed_in: the transaction that claimed.

    Returns:
        Seconds from the receipt of each, by id.
    """
    rows = await tx.fetch(QUERIES["settle_processed"], list(outcomes), list(outcomes.values()), claimed_in)
    return {row["stripe_event_id"]: row["delay_seconds"] for row in rows}


async def settle_parked(tx: Connection, parkings: Mapping[str, Parking], claimed_in: str) -> Collection[str]:
    """Let claimed rows wait for the row that they name; the ids of those that do."""
    rows = await tx.fetch(
        QUERIES["settle_parked"],
        *columns(((event_id, one.reason, one.delay_seconds) for event_id, one in parkings.items()), 3),
        claimed_in,
    )
    return [row["stripe_event_id"] for row in rows]


async def settle_unsupported(tx: Connection, reasons: Mapping[str, str], claimed_in: str) -> Collection[str]:
    """Give claimed rows up that this release cannot apply; the ids of those that are dead now."""
    rows = await tx.fetch(QUERIES["settle_unsupported"], list(reasons), list(reasons.values()), claimed_in)
    return [row["stripe_event_id"] for row in rows]


async def settle_fetching(tx: Connection, stripe_event_ids: Collection[str], claimed_in: str) -> Collection[str]:
    """Let claimed rows of thin events wait for their fetch; the ids of those that do."""
    rows = await tx.fetch(QUERIES["settle_fetching"], list(stripe_event_ids), claimed_in)
    return [row["stripe_event_id"] for row in rows]


async def begin_isolated_run(database: Database, event: StripeEvent, attempt: int) -> int:
    """
    Commit the start of a run that may end its process.

    Returns:
        How many have begun and not ended; 0 if it is not this message's turn.
    """
    rows = await database.fetch(
        QUERIES["begin_isolated_run"],
        event.stripe_event_id,
        attempt,
        event.type,
        event.account,
        event.livemode,
        event.api_version,
        event.object_id,
        event.created,
        event.tenant,
        event.body,
    )
    starts: int = rows[0]["solo_starts"] if rows else 0
    return starts


async def end_isolated_runs(database: Database, stripe_event_ids: Sequence[str]) -> None:
    """Note that these runs ended without a result, and that their process lives."""
    await database.execute(QUERIES["end_isolated_runs"], stripe_event_ids)


async def read_unended(database: Database, stripe_event_ids: Sequence[str]) -> Collection[str]:
    """Read which of these have begun an isolated run that did not end."""
    rows = await database.fetch(QUERIES["read_unended"], stripe_event_ids)
    return {row["stripe_event_id"] for row in rows}
