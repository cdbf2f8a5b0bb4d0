"""Payments under lock: what the ledger knew of them, what is appended, and what they are now."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

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

    async def append(self, entries: Sequence[Entry]) -> None:
        """Lock what these entries are about, append them, and settle everything that they change."""
        await self._lock(_named(entries))
        await _record(self.tx, entries)
        await self._read()
        while unlocked := await self._settle():
            await self._lock(unlocked)
            await self._read()

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

    async def store(self) -> None:
        """Write what has changed."""
        changed = self.changed()
        if not changed:
            return
        states = changed.values()
        await self.tx.execute(
            QUERIES["store_nodes"],
            *columns(changed),
            [state.parent_id for state in states],
            [state.events_id for state in states],
            [state.bound_by for state in states],
            [state.status for state in states],
            [state.rank for state in states],
            [state.awaits_event for state in states],
        )

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

    async def _lock(self, wanted: AbstractSet[Node]) -> None:
        while missing := wanted - self.before.keys():
            for row in await self.tx.fetch(QUERIES["lock_nodes"], *columns(sorted(missing))):
                self.before[Node(row["scope"], row["payment_id"])] = NodeState(
                    row["parent_id"], row["events_id"], row["bound_by"], row["status"], row["awaits_event"]
                )

    async def _read(self) -> None:
        """The facts of what is locked; for payments without a row, also which row claims one by storing its id."""
        unread = self.before.keys() - self.facts.keys()
        unbound = [node for node in unread if self.before[node].events_id is None and not node.is_link]
        self.facts |= {node: [] for node in unread}
        for row in await self.tx.fetch(QUERIES["read_facts"], *columns(unread), *columns(unbound)):
            self.facts[Node(row["scope"], row["payment_id"])].append(_fact(row))

    def _names_its_row(self, entry: Entry) -> bool:
        events_id = self.after[entry.node].events_id
        return any(
            claim.events_id == events_id
            for fact in self.facts[entry.node]
            if fact.stripe_event_id == entry.fact.stripe_event_id
            for claim in fact.claims
        )


async def _record(tx: "Transaction", entries: Sequence[Entry]) -> None:
    facts = [entry.fact for entry in entries]
    await tx.execute(
        QUERIES["record_facts"],
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


def columns(nodes: Iterable[Node]) -> tuple[list[str], list[str]]:
    """Scopes and payment ids, for ``unnest``."""
    pairs = list(nodes)
    return [node.scope for node in pairs], [node.payment_id for node in pairs]


def _fact(row: "Record") -> Fact:
    named_by = row["named_by"]
    return Fact(
        payment_id=row["payment_id"],
        kind=FactKind(row["kind"]),
        said_at=row["said_at"],
        stripe_event_id=row["stripe_event_id"],
        object_id=row["object_id"],
        status=row["status"],
        amount=row["amount"],
        amount_captured=row["amount_captured"],
        currency=row["currency"],
        object_created=row["object_created"],
        parent_id=row["parent_id"],
        claims=() if named_by is None else (Claim(row["names_event"], ClaimedBy(named_by)),),
    )
