"""Payments under lock: what the ledger knew of them, what is appended, and what they are now."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from processor.payments.projection import EventRow, split_keys
from sluice.outcomes import Parked
from sluice.payments.facts import Fact, FactKind, NamedBy, Naming
from sluice.payments.recompute import Node, NodeState, ancestors, paid_invoices, settle
from sluice.postgres.sql import columns, load_queries

if TYPE_CHECKING:
    from asyncpg import Record

    from sluice.registry import Transaction

QUERIES = load_queries(__file__, "locked_payments.sql")
_NAMED_BY = {by.value: by for by in NamedBy}


class Entry(NamedTuple):
    """One fact and the node that it is about."""

    node: Node
    fact: Fact


@dataclass
class LockedPayments:
    """The payments of one transaction, and all that stands above and, where it matters, below them: locked and read."""

    tx: "Transaction"
    before: dict[Node, NodeState] = field(default_factory=dict)
    after: dict[Node, NodeState] = field(default_factory=dict)
    facts: dict[Node, list[Fact]] = field(default_factory=dict)
    rows: dict[str, EventRow] = field(default_factory=dict)
    """Of the ``events`` rows that these payments may be bound to, those that exist."""
    _expanded: set[Node] = field(default_factory=set)
    """Links whose payments are among them."""

    async def append(self, entries: Sequence[Entry]) -> None:
        """Lock what these entries are about, append them, and settle everything that they change."""
        await self._take(_named(entries), entries)
        await self._settle_all()

    async def reconsider(self, nodes: Collection[Node]) -> None:
        """Lock these and settle them by the rows that exist now."""
        await self._take(nodes, (), reads_rows=True)
        await self._settle_all(reads_rows=True)

    def waiting(self, entries: Sequence[Entry]) -> Mapping[str, Parked]:
        """Events whose namings name rows of which none exists, where their payment has no other row."""
        named: dict[str, set[str]] = {}
        waiting: set[str] = set()
        for entry in entries:
            event_id = entry.fact.stripe_event_id
            named.setdefault(event_id, set()).update(self._named(entry))
            if self.after[entry.node].awaits_event:
                waiting.add(event_id)
        return {
            event_id: Parked(min(keys))
            for event_id, keys in named.items()
            if event_id in waiting and keys and keys.isdisjoint(self.rows)
        }

    def changed(self) -> Mapping[Node, NodeState]:
        """The nodes that are not any more what their rows say."""
        return {node: state for node, state in self.after.items() if state != self.before[node]}

    async def _settle_all(self, *, reads_rows: bool = False) -> None:
        while unlocked := await self._settle():
            await self._take(unlocked, (), reads_rows=reads_rows)

    async def _settle(self) -> AbstractSet[Node]:
        """Fold all that is known; the nodes that must be locked too before that can stand."""
        self.after = settle(self.facts, {key: row.account for key, row in self.rows.items()})
        if above := ancestors(self.facts) - self.before.keys():
            return above
        moved = {node for node, state in self.after.items() if node.is_link and _has_moved(self.before[node], state)}
        links = (moved | paid_invoices(self.facts)) - self._expanded
        if not links:
            return frozenset()
        self._expanded |= links
        return await _fetch_nodes(self.tx, "find_children", sorted(links)) - self.before.keys()

    async def _take(self, nodes: Collection[Node], entries: Sequence[Entry], *, reads_rows: bool = False) -> None:
        """Lock these and what is known to stand above them, append, and read what is known of them in the end."""
        known = frozenset(self.before)
        locked = columns(sorted(nodes), 2)
        for row in await self.tx.fetch(QUERIES["add_facts"], *locked, reads_rows, *columns(map(_told, entries), 18)):
            if row["row_id"] is not None:
                self._know(row)
                continue
            node = Node(row["scope"], row["payment_id"])
            if node in known:
                continue
            if node not in self.before:
                self.before[node] = _state(row)
                self.facts[node] = []
            if row["stripe_event_id"] is not None:
                self.facts[node].append(_fact(row))

    def _know(self, row: "Record") -> None:
        """Keep a row as it was when it was locked."""
        known = self.rows.get(row["row_id"])
        if known is None or not known.is_locked:
            self.rows[row["row_id"]] = EventRow(
                row["row_id"], row["row_account"], row["row_status"], row["row_intent"], is_locked=row["row_is_locked"]
            )

    def _named(self, entry: Entry) -> Iterator[str]:
        """The keys of rows that this event names, as the ledger has them."""
        for fact in self.facts[entry.node]:
            if fact.stripe_event_id == entry.fact.stripe_event_id:
                yield from (naming.events_id for naming in fact.namings)


def _has_moved(before: NodeState, after: NodeState) -> bool:
    """Whether payments that inherit its row may have to move with it."""
    return (before.shown_on, before.events_id, before.awaits) != (after.shown_on, after.events_id, after.awaits)


def _state(row: "Record") -> NodeState:
    return NodeState(
        parent_id=row["parent_id"],
        events_id=row["events_id"],
        bound_by=row["bound_by"],
        status=row["status"],
        awaits_event=row["awaits_event"],
        awaits=split_keys(row["awaits"]),
        is_open=row["is_open"],
    )


def _told(entry: Entry) -> tuple[object, ...]:
    """A fact in the order of the statement."""
    fact = entry.fact
    return (
        entry.node.scope,
        fact.payment_id,
        fact.stripe_event_id,
        fact.said_at,
        fact.kind.value,
        fact.object_id,
        fact.status,
        fact.amount,
        fact.amount_captured,
        fact.currency,
        fact.object_created,
        fact.parent_id,
        _row_named_by(fact, NamedBy.TENANT),
        _row_named_by(fact, NamedBy.METADATA),
        _row_named_by(fact, NamedBy.REFERENCE),
        fact.amount_released,
        fact.destination,
        fact.on_behalf_of,
    )


def _row_named_by(fact: Fact, by: NamedBy) -> str | None:
    for naming in fact.namings:
        if naming.by is by:
            return naming.events_id
    return None


async def _fetch_nodes(tx: "Transaction", query: str, nodes: Collection[Node]) -> set[Node]:
    return {Node(row["scope"], row["payment_id"]) for row in await tx.fetch(QUERIES[query], *columns(nodes, 2))}


def _named(entries: Sequence[Entry]) -> set[Node]:
    parents = {Node(entry.node.scope, entry.fact.parent_id) for entry in entries if entry.fact.parent_id is not None}
    return {entry.node for entry in entries} | parents


def _fact(row: "Record") -> Fact:
    return Fact(
        payment_id=row["payment_id"],
        kind=FactKind.known(row["kind"]),
        said_at=row["said_at"],
        stripe_event_id=row["stripe_event_id"],
        object_id=row["object_id"],
        status=row["fact_status"],
        amount=row["amount"],
        amount_captured=row["amount_captured"],
        currency=row["currency"],
        object_created=row["object_created"],
        parent_id=row["fact_parent"],
        namings=tuple(_namings(row)),
        amount_released=row["amount_released"],
        destination=row["destination"],
        on_behalf_of=row["on_behalf_of"],
    )


def _namings(row: "Record") -> Iterator[Naming]:
    if row["named_by"] is not None:
        yield Naming(row["names_event"], _NAMED_BY[row["named_by"]])
    if row["refers_to"] is not None:
        yield Naming(row["refers_to"], NamedBy.REFERENCE)
