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
from typing import TYPE_CHECKING, NamedTuple

from processor.payments.locked_payments import Entry, LockedPayments
from processor.payments.projection import Display, EventRow, Receipt, Shown, lock_rows, own_words, store_payments
from sluice.contract.event import StripeEvent
from sluice.outcomes import Applied, Ignored, Outcome
from sluice.payments.reading import facts_of
from sluice.payments.recompute import Node, NodeState

if TYPE_CHECKING:
    from sluice.registry import Transaction

SILENT = Ignored("says nothing of a payment")


class RowChange(NamedTuple):
    """An ``events`` row that shows something else than before."""

    events_id: str
    status_before: str | None
    payment_before: str | None
    status: str | None
    payment_id: str | None
    """The payment that decides now."""
    bound_by: str | None
    """How that payment came to the row; None where no payment decides."""


async def apply_facts(
    events: Sequence[StripeEvent], tx: "Transaction", *, trusts_reference: bool = True
) -> Mapping[str, Outcome]:
    """
    Append what these events say of payments, and bring payments and ``events`` rows up to date.

    Args:
        trusts_reference: whether ``client_reference_id`` may name a row; see ``facts_of``.

    Returns:
        By ``stripe_event_id``: Parked where an event names ``events`` rows of which none exists and its payment has no
        other (its facts are kept all the same), Ignored where it says nothing of a payment, else Applied.

    Raises:
        MalformedEvent: a body is no JSON object.
    """
    entries = _entries(events, trusts_reference=trusts_reference)
    outcomes: dict[str, Outcome] = {event.stripe_event_id: SILENT for event in events}
    if not entries:
        return outcomes
    nodes = LockedPayments(tx)
    await nodes.append(entries)
    told = {(entry.node, entry.fact.stripe_event_id) for entry in entries}
    await _bring_up_to_date(tx, nodes, told)
    outcomes.update({entry.fact.stripe_event_id: Applied() for entry in entries})
    outcomes.update(nodes.waiting(entries))
    return outcomes


async def reconsider(tx: "Transaction", payments: Collection[Node]) -> Sequence[RowChange]:
    """
    Settle payments again by the ``events`` rows that exist now, and show them there.

    Returns:
        The rows whose status or deciding payment changed.
    """
    nodes = LockedPayments(tx)
    await nodes.reconsider(payments)
    return await _show_again(tx, nodes, payments)


async def replace_facts(
    tx: "Transaction", events: Sequence[StripeEvent], without: Collection[Node], *, trusts_reference: bool = True
) -> Sequence[RowChange]:
    """
    Append what these events say, whose facts have just been taken out, and settle everything that they concern.

    Args:
        without: the payments that have lost facts.

    Returns:
        The rows whose status or deciding payment changed.
    """
    entries = _entries(events, trusts_reference=trusts_reference)
    nodes = LockedPayments(tx)
    await nodes.append(entries)
    await nodes.reconsider(set(without) - nodes.facts.keys())
    return await _show_again(tx, nodes, [*nodes.facts])


def _entries(events: Sequence[StripeEvent], *, trusts_reference: bool) -> Sequence[Entry]:
    return [
        Entry(Node(event.scope, fact.payment_id), fact)
        for event in events
        for fact in facts_of(event, trusts_reference=trusts_reference)
    ]


async def _show_again(tx: "Transaction", nodes: LockedPayments, payments: Collection[Node]) -> Sequence[RowChange]:
    told = {(node, fact.stripe_event_id) for node in payments for fact in nodes.facts[node]}
    rows = await _bring_up_to_date(tx, nodes, told)
    after = await lock_rows(tx, rows.keys())
    return [change for row in rows.values() if (change := _change(row, after.get(row.events_id), nodes)) is not None]


async def _bring_up_to_date(
    tx: "Transaction", nodes: LockedPayments, told: AbstractSet[tuple[Node, str]]
) -> Mapping[str, EventRow]:
    """Lock the rows concerned; then remember what they say, store the nodes, project: in this order."""
    concerned = nodes.changed().keys() | {node for node, _ in told}
    rows = await _lock_rows(tx, nodes, _shown_on(nodes.before, concerned) | _shown_on(nodes.after, concerned))
    speaking = own_words(rows.values(), shown=_shown(nodes.before))
    display = Display(rows.values(), speaking, _receipts(nodes, told, rows), _left(nodes))
    subscriptions = [node for node in nodes.after if node.payment_id.startswith("sub_")]
    await store_payments(tx, display, nodes.changed(), subscriptions)
    return rows


async def _lock_rows(tx: "Transaction", nodes: LockedPayments, events_ids: AbstractSet[str]) -> Mapping[str, EventRow]:
    """The rows concerned; nearly always they are locked by now."""
    locked = {key: row for key, row in nodes.rows.items() if row.is_locked and key in events_ids}
    return {**locked, **await lock_rows(tx, events_ids - locked.keys())}


def _shown_on(states: Mapping[Node, NodeState], concerned: AbstractSet[Node]) -> AbstractSet[str]:
    keys = (states[node].shown_on for node in concerned)
    return {key for key in keys if key is not None}


def _shown(before: Mapping[Node, NodeState]) -> AbstractSet[Shown]:
    """Payments that rows may show by the ledger's own doing: those bound to them before this transaction."""
    shown = ((state.shown_on, node.payment_id) for node, state in before.items())
    return {(key, payment_id) for key, payment_id in shown if key is not None}


def _left(nodes: LockedPayments) -> AbstractSet[str]:
    """Rows that show one payment less: it has moved, or another one speaks for it now."""
    moves = ((_displayed(nodes.before[node]), _displayed(state)) for node, state in nodes.after.items())
    return {before for before, after in moves if before is not None and before != after}


def _displayed(state: NodeState) -> str | None:
    return None if state.rank is None else state.shown_on


def _receipts(
    nodes: LockedPayments, told: AbstractSet[tuple[Node, str]], rows: Mapping[str, EventRow]
) -> AbstractSet[Receipt]:
    """The webhooks that were told of, and for a payment that has just found its row all that it ever had."""
    known = set(told)
    for node, state in nodes.after.items():
        if state.shown_on != nodes.before[node].shown_on:
            known |= {(node, fact.stripe_event_id) for fact in nodes.facts[node]}
    bound = ((nodes.after[node].shown_on, stripe_event_id) for node, stripe_event_id in known)
    return {(key, stripe_event_id) for key, stripe_event_id in bound if key is not None and key in rows}


def _change(before: EventRow, after: EventRow | None, nodes: LockedPayments) -> RowChange | None:
    if after is None:
        return None
    shown_before, shown = ((row.payment_status, row.stored_intent) for row in (before, after))
    if shown_before == shown:
        return None
    bound_by = (
        state.bound_by
        for node, state in nodes.after.items()
        if node.payment_id == after.stored_intent and state.shown_on == after.events_id
    )
    return RowChange(after.events_id, *shown_before, *shown, next(bound_by, None))
