"""Replace the facts of stored webhooks by what this release reads in them, batch by batch."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from processor.payments.billing import keep_invoices, keep_subscriptions
from processor.payments.ledger import RowChange, replace_facts
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.failures import Rejected
from sluice.payments import invoice, subscription
from sluice.payments.recompute import Node
from sluice.postgres.sql import load_queries

if TYPE_CHECKING:
    from asyncpg import Connection, Record

QUERIES = load_queries(__file__, "rebuild.sql")
BATCH = 200


@dataclass(frozen=True, slots=True)
class Step:
    """Totals of one batch."""

    webhooks: int
    corrected: int
    """Webhooks that say something else now."""
    changes: Sequence[RowChange]
    unreadable: Sequence[str] = ()
    """Keys of webhooks whose body this release cannot read; their facts stay."""


async def count(connection: "Connection[Record]", types: Sequence[str], since: datetime) -> int:
    """Say how many webhooks there are to read."""
    found: int = await connection.fetchval(QUERIES["count_webhooks"], types, since)
    return found


async def rebuild(
    connection: "Connection[Record]", types: Sequence[str], since: datetime, *, dry_run: bool, trusts_reference: bool
) -> AsyncIterator[Step]:
    """
    Read the webhooks of these types again, in the order in which they were recorded; one transaction for each batch.

    Args:
        dry_run: roll each batch back; what an earlier batch would have changed is then not seen by a later one.
        trusts_reference: as the processor is set.
    """
    last_id = 0
    while rows := await connection.fetch(QUERIES["read_webhooks"], types, since, last_id, BATCH):
        transaction = connection.transaction(isolation="read_committed")
        await transaction.start()
        try:
            step = await _rebuild(connection, rows, trusts_reference=trusts_reference)
        except BaseException:
            await transaction.rollback()
            raise
        await (transaction.rollback() if dry_run or not step.corrected else transaction.commit())
        yield step
        last_id = rows[-1]["id"]


async def _rebuild(tx: "Connection[Record]", rows: Sequence["Record"], *, trusts_reference: bool) -> Step:
    events, unreadable = _read(rows)
    ids = [event.stripe_event_id for event in events]
    before = await tx.fetch(QUERIES["forget_facts"], ids)
    nodes = {Node(row["scope"], row["payment_id"]) for row in before}
    changes = await replace_facts(tx, events, nodes, trusts_reference=trusts_reference)
    await keep_invoices([event for event in events if event.type in invoice.TYPES], tx)
    await keep_subscriptions([event for event in events if event.type in subscription.TYPES], tx)
    corrected = _differing(before, await tx.fetch(QUERIES["read_facts"], ids))
    return Step(len(rows), len(corrected), changes, unreadable)


def _read(rows: Sequence["Record"]) -> tuple[list[StripeEvent], list[str]]:
    events, unreadable = [], []
    for row in rows:
        try:
            event = read_event(row["body"], tenant=row["tenant"])
        except Rejected:
            unreadable.append(row["stripe_event_id"])
        else:
            events.append(replace(event, stripe_event_id=row["stripe_event_id"]))
    return events, unreadable


def _differing(before: Sequence["Record"], after: Sequence["Record"]) -> set[str]:
    one, other = ({tuple(row.items()) for row in rows} for rows in (before, after))
    return {dict(items)["stripe_event_id"] for items in one ^ other}
