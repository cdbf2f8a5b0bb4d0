"""Compute a payment's state after each row of its ledger."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from sluice.payments.facts import Fact, FactKind
from sluice.payments.fold import fold


def statuses_after(rows: Sequence[asyncpg.Record]) -> Sequence[str | None]:
    """The status of a payment by each row and all before it, in the order given; None for what is no payment."""
    facts = [_fact(row) for row in rows]
    return [fold(facts[:length]).status for length in range(1, len(facts) + 1)]


def _fact(row: asyncpg.Record) -> Fact:
    created: datetime | None = row["object_created_at"]
    return Fact(
        payment_id=row["payment_id"],
        kind=FactKind.known(row["kind"]),
        said_at=int(row["said_at"].timestamp()),
        stripe_event_id=row["stripe_event_id"],
        object_id=row["object_id"],
        status=row["status"],
        amount=row["amount"],
        amount_captured=row["amount_captured"],
        amount_released=row["amount_released"],
        currency=row["currency"],
        object_created=None if created is None else int(created.timestamp()),
        parent_id=row["parent_id"],
    )
