"""``events`` rows: lock them, remember what they said, and show on them what the ledger knows."""

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sluice.chassis.sql import load_queries
from sluice.payments.scopes import allowed_scopes
from sluice.payments.status import PaymentStatus

if TYPE_CHECKING:
    from sluice.registry import Transaction

QUERIES = load_queries(__file__, "projection.sql")

Concern: TypeAlias = tuple[str, str]
"""An ``events.id`` and the scope from which it is concerned."""
Shown: TypeAlias = tuple[str, str]
"""An ``events.id`` and the payment that it shows."""
Receipt: TypeAlias = tuple[str, str]
"""An ``events.id`` and the ``stripe_event_id`` of a webhook that concerned it."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One locked ``events`` row."""

    events_id: str
    account: str | None
    payment_status: str | None
    stored_intent: str | None

    def may_be_touched_from(self, scope: str) -> bool:
        """Whether payments of this scope count for the row."""
        return scope in allowed_scopes(self.events_id, self.account)

    @property
    def is_untouched(self) -> bool:
        """Whether it says nothing worth remembering."""
        return self.stored_intent is None and self.payment_status == PaymentStatus.PENDING


async def lock_rows(tx: "Transaction", concerns: AbstractSet[Concern]) -> Mapping[str, EventRow]:
    """Lock the rows that may be touched from these scopes; the others are left alone and left out."""
    if not concerns:
        return {}
    found = await tx.fetch(QUERIES["lock_rows"], [row for row, _ in concerns], [scope for _, scope in concerns])
    return {
        row["events_id"]: EventRow(
            row["events_id"], row["account"], row["payment_status"], row["stripe_payment_intent_id"]
        )
        for row in found
    }


async def missing_rows(tx: "Transaction", events_ids: AbstractSet[str]) -> AbstractSet[str]:
    """Those of these keys that no row has."""
    if not events_ids:
        return frozenset()
    found = await tx.fetch(QUERIES["find_rows"], list(events_ids))
    return events_ids - {row["events_id"] for row in found}


async def remember_rows(tx: "Transaction", rows: Collection[EventRow], *, shown: AbstractSet[Shown]) -> None:
    """
    Keep in the ledger what these rows say by themselves, before a projection replaces it.

    Args:
        shown: what the ledger is known to have projected; saves asking.
    """
    own_words = [row for row in rows if not row.is_untouched and (row.events_id, row.stored_intent) not in shown]
    if own_words:
        await tx.execute(QUERIES["remember_rows"], sorted(row.events_id for row in own_words))


async def project_rows(
    tx: "Transaction", rows: Collection[EventRow], *, left: AbstractSet[str], receipts: AbstractSet[Receipt]
) -> None:
    """
    Show on these locked rows the payment that decides, and the newest receipt.

    Args:
        left: rows that a payment has just left for another.
    """
    if not rows:
        return
    events_ids = sorted(row.events_id for row in rows)
    await tx.execute(
        QUERIES["project_rows"],
        events_ids,
        [events_id in left for events_id in events_ids],
        [events_id for events_id, _ in receipts],
        [stripe_event_id for _, stripe_event_id in receipts],
    )
