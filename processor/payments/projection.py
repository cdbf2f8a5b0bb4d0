"""``events`` rows: lock them, remember what they said, and show on them what the ledger knows."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sluice.payments.recompute import Node, NodeState
from sluice.payments.status import PaymentStatus
from sluice.postgres.sql import columns, load_queries

if TYPE_CHECKING:
    from sluice.registry import Transaction

QUERIES = load_queries(__file__, "projection.sql")

_SEPARATOR = "\n"

Shown: TypeAlias = tuple[str, str]
"""An ``events.id`` and the payment that it shows."""
Receipt: TypeAlias = tuple[str, str]
"""An ``events.id`` and the ``stripe_event_id`` of a webhook that concerned it."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One ``events`` row."""

    events_id: str
    account: str | None
    payment_status: str | None
    stored_intent: str | None
    is_locked: bool = True

    @property
    def is_untouched(self) -> bool:
        """Whether it says nothing worth remembering."""
        return self.stored_intent is None and self.payment_status == PaymentStatus.PENDING


async def lock_rows(tx: "Transaction", events_ids: AbstractSet[str]) -> Mapping[str, EventRow]:
    """Lock these rows; what has vanished is left out."""
    if not events_ids:
        return {}
    found = await tx.fetch(QUERIES["lock_rows"], list(events_ids))
    return {
        row["events_id"]: EventRow(
            row["events_id"], row["account"], row["payment_status"], row["stripe_payment_intent_id"]
        )
        for row in found
    }


def own_words(rows: Collection[EventRow], *, shown: AbstractSet[Shown]) -> Collection[EventRow]:
    """
    Rows that may say something by themselves, which the ledger keeps before a projection replaces it.

    Args:
        shown: what the ledger is known to have projected; saves asking.
    """
    return [row for row in rows if not row.is_untouched and (row.events_id, row.stored_intent) not in shown]


@dataclass(frozen=True, slots=True)
class Display:
    """
    Payments to be shown on locked rows.

    Args:
        speaking: rows whose own words are kept first; see ``own_words``.
        left: rows that a payment has just left for another.
    """

    rows: Collection[EventRow]
    speaking: Collection[EventRow]
    receipts: AbstractSet[Receipt]
    left: AbstractSet[str] = frozenset()


async def store_payments(
    tx: "Transaction", display: Display, payments: Mapping[Node, NodeState], subscriptions: Collection[Node]
) -> None:
    """Store these locked payments, and show on the locked rows the payment that decides, and the newest receipt."""
    if not display.rows and not payments and not subscriptions:
        return
    await tx.execute(
        QUERIES["store_payments"],
        sorted(row.events_id for row in display.speaking),
        *columns((_stored(node, state) for node, state in payments.items()), 10),
        *columns(subscriptions, 2),
        *columns(((key, key in display.left) for key in sorted(row.events_id for row in display.rows)), 2),
        *columns(display.receipts, 2),
    )


def _stored(node: Node, state: NodeState) -> tuple[object, ...]:
    """A payment in the order of the statement."""
    binding = (state.parent_id, state.events_id, state.bound_by)
    return (*node, *binding, state.status, state.rank, state.awaits_event, _joined(state.awaits), state.is_open)


def split_keys(stored: str | None) -> tuple[str, ...]:
    """The keys of rows that ``payment.awaits`` holds."""
    return () if stored is None else tuple(stored.split(_SEPARATOR))


def _joined(keys: Sequence[str]) -> str | None:
    return _SEPARATOR.join(keys) or None
