"""
The payment ledger: append what events say, fold it, show it on the ``events`` rows.

Lock, insert, then fold in a later statement: a transaction locks its payments (sorted), appends its facts, reads all
facts of those payments in a *later* statement, whose snapshot sees what others committed while it waited; then it locks
the ``events`` rows (sorted) and projects, again in a later statement. So it needs READ COMMITTED, and two transactions
at once end as one after the other would. Deadlocks are possible and harmless: the processor tries again.

A batch of payments without links costs the same few statements, whatever its size.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from processor.nodes import Entry, LockedNodes
from processor.projection import (
    Concern,
    Display,
    EventRow,
    Receipt,
    Shown,
    columns,
    lock_rows,
    missing_rows,
    own_words,
    show_payments,
)
from sluice.chassis.sql import load_queries
from sluice.contract.event import StripeEvent
from sluice.outcomes import Applied, Ignored, Outcome
from sluice.payments.book import Node, NodeState
from sluice.payments.reading import facts_of

if TYPE_CHECKING:
    from sluice.registry import Transaction

QUERIES = load_queries(__file__, "ledger.sql")
SILENT = Ignored("says nothing of a payment")


async def apply_facts(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
    """
    Append what these events say of payments, and bring payments and ``events`` rows up to date.

    Returns:
        By ``stripe_event_id``: Parked where an event itself names the ``events`` row for which its payment waits (its
        facts are kept all the same), Ignored where it says nothing of a payment, else Applied.

    Raises:
        MalformedEvent: a body is no JSON object.
    """
    entries = [Entry(Node(event.scope, fact.payment_id), fact) for event in events for fact in facts_of(event)]
    outcomes: dict[str, Outcome] = {event.stripe_event_id: SILENT for event in events}
    if not entries:
        return outcomes
    nodes = LockedNodes(tx)
    await nodes.append(entries)
    await _bring_up_to_date(tx, nodes, entries)
    outcomes.update({entry.fact.stripe_event_id: Applied() for entry in entries})
    outcomes.update(nodes.waiting(entries))
    return outcomes


class Awaited(NamedTuple):
    """A locked payment that waited for an ``events`` row which is there now."""

    node: Node
    events_id: str


async def project_awaited(tx: "Transaction", limit: int) -> int:
    """
    Show payments on ``events`` rows that have appeared since; also those whose webhook has died waiting.

    Returns:
        How many payments had waited for a row that is there now, at most ``limit``.
    """
    awaited = await take_awaited(tx, limit)
    if awaited:
        await project_taken(tx, awaited)
    return len(awaited)


async def take_awaited(tx: "Transaction", limit: int, leave_out: Collection[Node] = ()) -> Sequence[Awaited]:
    """Lock payments whose row has appeared; those that another transaction holds can wait."""
    found = await tx.fetch(QUERIES["lock_awaited"], limit, *columns(leave_out))
    return [Awaited(Node(row["scope"], row["payment_id"]), row["events_id"]) for row in found]


async def project_taken(tx: "Transaction", awaited: Sequence[Awaited]) -> None:
    """Show these on their rows."""
    keys = columns(node for node, _ in awaited)
    rows = await lock_rows(tx, {(events_id, node.scope) for node, events_id in awaited})
    concerned = await tx.fetch(QUERIES["read_concerned"], *keys)
    receipts = {
        (row["events_id"], row["stripe_event_id"]) for row in concerned if _shows(rows, row["events_id"], row["scope"])
    }
    display = Display(rows.values(), own_words(rows.values(), shown=frozenset()), receipts)
    await show_payments(tx, display, payments={}, subscriptions=())
    await tx.execute(QUERIES["stop_waiting"], *keys)


async def _bring_up_to_date(tx: "Transaction", nodes: LockedNodes, entries: Sequence[Entry]) -> None:
    """Lock the rows concerned; then remember what they say, store the nodes, project: in this order."""
    concerned = nodes.changed().keys() | {entry.node for entry in entries}
    rows = await _lock_rows(tx, nodes, _concerns(nodes.before, concerned) | _concerns(nodes.after, concerned))
    bound = {events_id for events_id, _ in _concerns(nodes.after, concerned)}
    missing = await missing_rows(tx, bound - rows.keys())
    for node in nodes.after:
        state = nodes.after[node]
        awaits = state.events_id in missing if node in concerned else nodes.before[node].awaits_event
        nodes.after[node] = replace(state, awaits_event=awaits)
    speaking = own_words(rows.values(), shown=_shown(nodes.before, rows))
    display = Display(rows.values(), speaking, _receipts(nodes, entries, rows), _left(nodes))
    subscriptions = [node for node in nodes.after if node.payment_id.startswith("sub_")]
    await show_payments(tx, display, nodes.changed(), subscriptions)


async def _lock_rows(tx: "Transaction", nodes: LockedNodes, concerns: AbstractSet[Concern]) -> Mapping[str, EventRow]:
    """The rows concerned; nearly always they are locked by now."""
    unlocked = {concern for concern in concerns if not _shows(nodes.rows, *concern)}
    rows = {**nodes.rows, **await lock_rows(tx, unlocked)}
    return {events_id: rows[events_id] for events_id, scope in concerns if _shows(rows, events_id, scope)}


def _concerns(states: Mapping[Node, NodeState], concerned: AbstractSet[Node]) -> set[Concern]:
    bound = ((states[node].events_id, node.scope) for node in concerned)
    return {(events_id, scope) for events_id, scope in bound if events_id is not None}


def _shown(before: Mapping[Node, NodeState], rows: Mapping[str, EventRow]) -> AbstractSet[Shown]:
    """What the rows may show by the ledger's own doing: payments that were bound to them before this transaction."""
    return {
        (state.events_id, node.payment_id)
        for node, state in before.items()
        if state.events_id is not None and not state.awaits_event and _shows(rows, state.events_id, node.scope)
    }


def _left(nodes: LockedNodes) -> AbstractSet[str]:
    moves = ((nodes.before[node].events_id, state.events_id) for node, state in nodes.after.items())
    return {before for before, after in moves if before is not None and before != after}


def _receipts(nodes: LockedNodes, entries: Sequence[Entry], rows: Mapping[str, EventRow]) -> AbstractSet[Receipt]:
    """The webhooks of this batch, and for a payment that has just found its row all that it ever had."""
    told = {(entry.node, entry.fact.stripe_event_id) for entry in entries}
    for node, state in nodes.after.items():
        if state.events_id != nodes.before[node].events_id:
            told |= {(node, fact.stripe_event_id) for fact in nodes.facts[node]}
    bound = ((nodes.after[node].events_id, node.scope, stripe_event_id) for node, stripe_event_id in told)
    return {
        (events_id, stripe_event_id)
        for events_id, scope, stripe_event_id in bound
        if events_id is not None and _shows(rows, events_id, scope)
    }


def _shows(rows: Mapping[str, EventRow], events_id: str, scope: str) -> bool:
    return events_id in rows and rows[events_id].may_be_touched_from(scope)
