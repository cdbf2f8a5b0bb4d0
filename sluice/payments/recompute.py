"""Settle many payments at once, with the invoices and subscriptions above them: each one's row in ``payment``."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sluice.payments import invoice
from sluice.payments.binding import Rows, bind, parent_of
from sluice.payments.facts import Fact
from sluice.payments.fold import fold
from sluice.payments.status import CAPTURED, PaymentStatus

INVOICE_PREFIX = "in_"
LINK_PREFIXES = (INVOICE_PREFIX, "sub_")


class Node(NamedTuple):
    """The key of a payment, or of an invoice or subscription on the way to one."""

    scope: str
    payment_id: str

    @property
    def is_link(self) -> bool:
        """Whether payments may hang on it."""
        return self.payment_id.startswith(LINK_PREFIXES)


@dataclass(frozen=True, slots=True)
class NodeState:
    """Recomputed state of one node; the columns of ``payment``."""

    parent_id: str | None = None
    events_id: str | None = None
    bound_by: str | None = None
    status: str | None = None
    awaits_event: bool = False
    """Whether no row satisfies any of its namings; ``events_id`` is then the strongest."""
    awaits: tuple[str, ...] = ()
    """Rows that would be preferred to the one it has, should they appear."""
    is_open: bool = True
    """Whether a row that appears or changes may move it."""

    @property
    def shown_on(self) -> str | None:
        """The key of the ``events`` row that shows it."""
        return None if self.awaits_event else self.events_id

    @property
    def rank(self) -> int | None:
        """Its place among the payments of an ``events`` row; None where it is no payment or no row shows it."""
        return None if self.status is None or self.awaits_event else PaymentStatus(self.status).rank


Book = Mapping[Node, Collection[Fact]]
"""The facts of some nodes and of everything above them; of an invoice that says it is paid, everything below, too."""


def ancestors(book: Book) -> set[Node]:
    """The nodes right above those of the book."""
    above = ((node.scope, parent_of(facts)) for node, facts in book.items())
    return {Node(scope, parent_id) for scope, parent_id in above if parent_id is not None}


def paid_invoices(book: Book) -> set[Node]:
    """Invoices that say they are paid: whether by a payment that is known, those below them tell."""
    return {node for node, facts in book.items() if _says_paid(node.payment_id, facts)}


def settle(book: Book, rows: Rows) -> dict[Node, NodeState]:
    """Say what every node of a book is, given all that is known and the ``events`` rows that exist."""
    by_scope: dict[str, dict[str, Collection[Fact]]] = {}
    for node, facts in book.items():
        by_scope.setdefault(node.scope, {})[node.payment_id] = facts
    settled: dict[Node, NodeState] = {}
    for scope, known in by_scope.items():
        statuses = _statuses(known)
        for payment_id in known:
            settled[Node(scope, payment_id)] = _settled(Node(scope, payment_id), known, rows, statuses[payment_id])
    return settled


def _settled(node: Node, known: Mapping[str, Collection[Fact]], rows: Rows, status: str | None) -> NodeState:
    binding = bind(node.payment_id, node.scope, known, rows)
    parent_id = parent_of(known[node.payment_id])
    if binding is None:  # a row may store a payment's id later, never that of a link
        return NodeState(parent_id=parent_id, status=status, is_open=not node.is_link)
    return NodeState(
        parent_id=parent_id,
        events_id=binding.events_id,
        bound_by=binding.bound_by,
        status=status,
        awaits_event=not binding.is_satisfied,
        awaits=binding.awaits,
        is_open=bool(binding.awaits),
    )


def _statuses(known: Mapping[str, Collection[Fact]]) -> Mapping[str, PaymentStatus | None]:
    statuses = {payment_id: fold(facts).status for payment_id, facts in known.items()}
    unpaid = {payment_id for payment_id, facts in known.items() if _says_paid(payment_id, facts)}
    unpaid -= set(_with_a_capture_below(known, statuses))
    return {**statuses, **dict.fromkeys(unpaid, PaymentStatus.PAID)}


def _with_a_capture_below(
    known: Mapping[str, Collection[Fact]], statuses: Mapping[str, PaymentStatus | None]
) -> Iterator[str]:
    """The invoices whose money is told of by a payment: that one is refunded and disputed, and speaks for them."""
    for payment_id, facts in known.items():
        parent_id = parent_of(facts)
        if parent_id is not None and statuses[payment_id] in CAPTURED:
            yield parent_id


def _says_paid(payment_id: str, facts: Collection[Fact]) -> bool:
    return payment_id.startswith(INVOICE_PREFIX) and any(invoice.says_paid(fact) for fact in facts)
