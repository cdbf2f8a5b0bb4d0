"""Compute a payment's state after each row of its ledger."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from sluice.payments.facts import Fact, FactKind
from sluice.payments.fold import NOTHING_KNOWN, PaymentState, fold


def states_after(rows: Sequence[asyncpg.Record]) -> Sequence[PaymentState]:
    """The state of a payment by each row and all before it, in the order given; nothing is known of a mere link."""
    states: list[PaymentState] = []
    known: list[Fact] = []
    for fact in map(_fact, rows):
        if fact.kind.is_of_money:
            known.append(fact)
            states.append(fold(known))
        else:
            states.append(states[-1] if states else NOTHING_KNOWN)
    return states


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
