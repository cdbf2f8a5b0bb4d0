"""Thin events that wait in ``thin_fetch``, and how each wait ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reconciler.record import THIN, Filled, missing_ids, record
from sluice.contract.event import StripeEvent
from sluice.inbox import thin_events
from sluice.postgres.pool import Database
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "waiting.sql")
_LONGEST_PROBLEM = 300


class Waiting(NamedTuple):
    """One thin event that waits."""

    stripe_event_id: str
    tries: int
    body: bytes | None
    """None: it was deleted since."""


@dataclass(frozen=True)
class WaitingEvents:
    """Reads and ends waits; each end commits together with what was fetched."""

    database: Database

    async def due(self, at_most: int) -> Sequence[Waiting]:
        """Those whose time has come."""
        return [Waiting(*row) for row in await self.database.fetch(QUERIES["due"], at_most)]

    async def is_recorded(self, stripe_event_id: str) -> bool:
        """Whether an event is in the log."""
        async with self.database.acquire() as connection:
            return not await missing_ids(connection, [stripe_event_id])

    async def end_fetched(self, stripe_event_id: str, fact: StripeEvent | None) -> Filled:
        """Record the fact, None where it is in the log already, and end the wait; not where PostgreSQL refuses it."""
        async with self.database.acquire() as tx, tx.transaction(isolation="read_committed"):
            filled = Filled() if fact is None else await record(tx, [fact], source=THIN, asked_by=stripe_event_id)
            if not filled.refused:
                await thin_events.end_fetched(tx, stripe_event_id)
        return filled

    async def end_unfetchable(self, stripe_event_id: str, reason: str) -> None:
        """End the wait for good."""
        async with self.database.acquire() as tx:
            await thin_events.end_unfetchable(tx, stripe_event_id, reason)

    async def wait(self, stripe_event_id: str, problem: str, *, seconds: float) -> None:
        """Let it wait longer, and note why."""
        await self.database.execute(QUERIES["wait"], stripe_event_id, seconds, problem[:_LONGEST_PROBLEM])
