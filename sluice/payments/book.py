"""Many payments at once, with the invoices and subscriptions above them: what each one's row in ``payment`` is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sluice.payments.binding import bind, parent_of
from sluice.payments.facts import Fact
from sluice.payments.fold import fold
from sluice.payments.status import PaymentStatus

LINK_PREFIXES = ("in_", "sub_")


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
    """What the ledger makes of one node; the columns of ``payment``."""

    parent_id: str | None = None
    events_id: str | None = None
    bound_by: str | None = None
    status: str | None = None
    awaits_event: bool = False
    """Whether its row did not exist when last looked for."""

    @property
    def rank(self) -> int | None:
        """Its place among the payments of an ``events`` row; None where it is no payment."""
        return None if self.status is None else PaymentStatus(self.status).rank


Book = Mapping[Node, Collection[Fact]]
"""The facts of some nodes and of everything above them."""


def ancestors(book: Book) -> set[Node]:
    """The nodes right above those of the book."""
    above = ((node.scope, parent_of(facts)) for node, facts in book.items())
    return {Node(scope, parent_id) for scope, parent_id in above if parent_id is not None}


def settle(book: Book) -> dict[Node, NodeState]:
    """What every node of a book is, given all that is known; whether its row exists is not known here."""
    by_scope: dict[str, dict[str, Collection[Fact]]] = {}
    for node, facts in book.items():
        by_scope.setdefault(node.scope, {})[node.payment_id] = facts
    return {node: _settled(node.payment_id, by_scope[node.scope]) for node in book}


def _settled(payment_id: str, known: Mapping[str, Collection[Fact]]) -> NodeState:
    binding = bind(payment_id, known)
    status = fold(known[payment_id]).status
    return NodeState(
        parent_id=parent_of(known[payment_id]),
        events_id=binding.events_id if binding else None,
        bound_by=binding.bound_by if binding else None,
        status=status.value if status else None,
    )
