"""The one place where the reconciler writes webhooks: as ingest does, and never over one that is there."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import asyncpg

from reconciler.listed import Refused
from sluice.contract.event import StripeEvent
from sluice.inbox.recorder import record_listed
from sluice.postgres.errors import cause_of
from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries
from sluice.postgres.sqlstate import Cause

QUERIES = load_queries(__file__, "record.sql")
VERIFIED_BY = "api"
"""Value of ``webhook_logs.verified_by``: no secret signed it, Stripe's API gave it."""
RECONCILE, THIN, BACKFILL = "reconcile", "thin", "backfill"
_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Listed:
    """An event as the inbox takes it."""

    event: StripeEvent
    verified_by: str = VERIFIED_BY


@dataclass(frozen=True, slots=True)
class Filled:
    """Result of recording events that Stripe gave."""

    new: tuple[StripeEvent, ...] = ()
    """Those that were not in the log before."""
    refused: tuple[Refused, ...] = ()
    """Those that PostgreSQL does not take."""


async def record(tx: Connection, events: Sequence[StripeEvent], *, source: str, asked_by: str | None = None) -> Filled:
    """
    Put those that are missing into the log, due at once; the caller commits.

    A row that PostgreSQL refuses is found by itself, and the others are written.

    Args:
        asked_by: the thin event whose fact they are.
    """
    if not events:
        return Filled()
    try:
        return Filled(await _insert(tx, events, source, asked_by))
    except (asyncpg.PostgresError, ValueError) as error:
        if cause_of(error) is not Cause.ROW_REFUSED:
            raise
        if len(events) == 1:
            return Filled(refused=(Refused(events[0].stripe_event_id, type(error).__name__),))
    middle = len(events) // 2
    first = await record(tx, events[:middle], source=source, asked_by=asked_by)
    second = await record(tx, events[middle:], source=source, asked_by=asked_by)
    return Filled(first.new + second.new, first.refused + second.refused)


async def missing(tx: Connection, events: Sequence[StripeEvent]) -> Sequence[StripeEvent]:
    """Those that are not in the log; nothing is written."""
    absent = await missing_ids(tx, [event.stripe_event_id for event in events])
    return [event for event in events if event.stripe_event_id in absent]


async def missing_ids(tx: Connection, stripe_event_ids: Sequence[str]) -> Collection[str]:
    """Those that are not in the log."""
    return {row["id"] for row in await tx.fetch(QUERIES["count_missing"], stripe_event_ids)}


async def _insert(
    tx: Connection, events: Sequence[StripeEvent], source: str, asked_by: str | None
) -> tuple[StripeEvent, ...]:
    """In a savepoint, so that the transaction outlives a refusal; sorted, as ingest does, so that no two deadlock."""
    by_id = {event.stripe_event_id: event for event in sorted(events, key=lambda event: event.stripe_event_id)}
    async with tx.transaction():
        found = [_Listed(event) for event in by_id.values()]
        ids = await record_listed(tx, found, within_seconds=_SECONDS)
        if ids:
            await tx.execute(QUERIES["note_found"], ids, source, asked_by)
    return tuple(by_id[event_id] for event_id in ids)
