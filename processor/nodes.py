"""Payments under lock: what the ledger knew of them, what is appended, and what they are now."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from processor.projection import EventRow, columns
from sluice.chassis.sql import load_queries
from sluice.outcomes import Parked
from sluice.payments.book import Node, NodeState, ancestors, settle
from sluice.payments.facts import Claim, ClaimedBy, Fact, FactKind

if TYPE_CHECKING:
    from asyncpg import Record

    from sluice.registry import Transaction

QUERIES = load_queries(__file__, "nodes.sql")


class Entry(NamedTuple):
    """One fact and the node that it is about."""

    node: Node
    fact: Fact


@dataclass
class LockedNodes:
    """The payments of one transaction, and all that stands above and, where it matters, below them: locked and read."""

    tx: "Transaction"
    before: dict[Node, NodeState] = field(default_factory=dict)
    after: dict[Node, NodeState] = field(default_factory=dict)
    facts: dict[Node, list[Fact]] = field(default_factory=dict)
    rows: dict[str, EventRow] = field(default_factory=dict)
    """Rows of ``events`` that are locked already, since payments and facts name them."""

    async def append(self, entries: Sequence[Entry]) -> None:
        """Lock what these entries are about, append them, and settle everything that they change."""
        await self._take(_named(entries), entries)
        while unlocked := await self._settle():
            await self._take(unlocked, ())

    def waiting(self, entries: Sequence[Entry]) -> Mapping[str, Parked]:
        """Events that name the missing row for which their payment waits."""
        return {
            entry.fact.stripe_event_id: Parked(self.after[entry.node].events_id or "")
            for entry in entries
            if self.after[entry.node].awaits_event and self._names_its_row(entry)
        }

    def changed(self) -> Mapping[Node, NodeState]:
        """The nodes that are not any more what their rows say."""
        return {node: state for node, state in self.after.items() if state != self.before[node]}

    async def _settle(self) -> AbstractSet[Node]:
        """Fold all that is known; the nodes that must be locked too before that can stand."""
        self.after = settle(self.facts)
        if above := ancestors(self.facts) - self.before.keys():
            return above
        moved = [
            node
            for node, state in self.after.items()
            if node.is_link and state.events_id != self.before[node].events_id
        ]
        if not moved:
            return frozenset()
        return await _fetch_nodes(self.tx, "find_children", moved) - self.before.keys()

    async def _take(self, nodes: AbstractSet[Node], entries: Sequence[Entry]) -> None:
        """Lock these and what is known to stand above them, append, and read what is known of them in the end."""
        known = frozenset(self.before)
        for row in await self.tx.fetch(QUERIES["append_facts"], *columns(sorted(nodes)), *_fact_columns(entries)):
            if row["row_id"] is not None:
                self.rows[row["row_id"]] = EventRow(
                    row["row_id"], row["row_account"], row["row_status"], row["row_intent"]
                )
                continue
            node = Node(row["scope"], row["payment_id"])
            if node in known:
                continue
            if node not in self.before:
                self.before[node] = NodeState(
                    row["parent_id"], row["events_id"], row["bound_by"], row["status"], row["awaits_event"]
                )
                self.facts[node] = []
            if row["stripe_event_id"] is not None:
                self.facts[node].append(_fact(row))

    def _names_its_row(self, entry: Entry) -> bool:
        events_id = self.after[entry.node].events_id
        return any(
            claim.events_id == events_id
            for fact in self.facts[entry.node]
            if fact.stripe_event_id == entry.fact.stripe_event_id
            for claim in fact.claims
        )


def _fact_columns(entries: Sequence[Entry]) -> Sequence[Sequence[object]]:
    facts = [entry.fact for entry in entries]
    return (
        [entry.node.scope for entry in entries],
        [fact.payment_id for fact in facts],
        [fact.stripe_event_id for fact in facts],
        [fact.said_at for fact in facts],
        [fact.kind.value for fact in facts],
        [fact.object_id for fact in facts],
        [fact.status for fact in facts],
        [fact.amount for fact in facts],
        [fact.amount_captured for fact in facts],
        [fact.currency for fact in facts],
        [fact.object_created for fact in facts],
        [fact.parent_id for fact in facts],
        *([_claimed(fact, by) for fact in facts] for by in (ClaimedBy.TENANT, ClaimedBy.METADATA, ClaimedBy.REFERENCE)),
    )


def _claimed(fact: Fact, by: ClaimedBy) -> str | None:
    return next((claim.events_id for claim in fact.claims if claim.by is by), None)


async def _fetch_nodes(tx: "Transaction", query: str, nodes: Collection[Node]) -> set[Node]:
    return {Node(row["scope"], row["payment_id"]) for row in await tx.fetch(QUERIES[query], *columns(nodes))}


def _named(entries: Sequence[Entry]) -> set[Node]:
    parents = {Node(entry.node.scope, entry.fact.parent_id) for entry in entries if entry.fact.parent_id is not None}
    return {entry.node for entry in entries} | parents


def _fact(row: "Record") -> Fact:
    named_by = row["named_by"]
    return Fact(
        payment_id=row["payment_id"],
        kind=FactKind(row["kind"]),
        said_at=row["said_at"],
        stripe_event_id=row["stripe_event_id"],
        object_id=row["object_id"],
        status=row["fact_status"],
        amount=row["amount"],
        amount_captured=row["amount_captured"],
        currency=row["currency"],
        object_created=row["object_created"],
        parent_id=row["fact_parent"],
        claims=() if named_by is None else (Claim(row["names_event"], ClaimedBy(named_by)),),
    )
