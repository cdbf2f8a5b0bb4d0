"""From what a person asked to everything that belongs to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from sluice.inbox.operations import AnyConnection
from sluice.inbox.pauses import HandlersOf, Traits
from sluice.operations.pauses import Wait, coming_wait, wait_of
from sluice.ops.why.history import EventsRow, LoggedError, Payment, PaymentHistory, RecordedFact, Repeat, Webhook
from sluice.ops.why.ledger_history import states_after
from sluice.payments.fold import NOTHING_KNOWN
from sluice.postgres.sql import columns, load_queries

_QUERIES = load_queries(__file__, "why.sql")
_EVENT = "evt_"
_ERRORS_AT_MOST = 200
_OPEN_AT_MOST = 10_000
COUNTED_AT_MOST = 1_000
"""Of the payments of a row."""
NEWEST = 20_000
"""A log of any size costs no more than this to look through."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Keys of what belongs to the question, in the order to show it."""

    payments: Sequence[tuple[str, str]] = ()
    webhooks: Sequence[str] = ()
    events_row: str | None = None


async def look_up(
    connection: AnyConnection, asked: str, *, at_most: int, handlers_of: HandlersOf, newest: int | None = NEWEST
) -> PaymentHistory:
    """
    The whole history of an event, a payment, anything that a payment went through, or an ``events`` row.

    Args:
        at_most: how many payments to show; an ``events`` row may have very many.
        handlers_of: names the handlers that a webhook goes to, one of which may be paused.
        newest: of webhooks that are about no payment, how many of the newest to look through; None: all.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = await _find(connection, asked, at_most, newest)
        payments = await _payments(connection, found.payments)
        rows = {payment.events_id for payment in payments if payment.events_id is not None}
        if found.events_row is not None:
            rows.add(found.events_row)
        keys = {fact.stripe_event_id for payment in payments for fact in payment.facts}
        return PaymentHistory(
            asked=asked,
            events_rows=await _events_rows(connection, sorted(rows)),
            payments=payments,
            webhooks=await _webhooks(connection, keys.union(found.webhooks), handlers_of),
        )


async def _find(connection: AnyConnection, asked: str, at_most: int, newest: int | None) -> _Found:
    row: str | None = await connection.fetchval(_QUERIES["find_events_row"], asked)
    if row is not None:
        payments = await _pairs(connection, "find_payments_of_row", asked, at_most)
        waiting = await _open(connection, "find_unprocessed_webhooks_of_row", asked, at_most)
        return _Found(payments, waiting, row)
    if asked.startswith(_EVENT):
        keys = await _keys(connection, "find_webhooks_of_event", asked, at_most) or [asked]
        return _Found(await _pairs(connection, "find_payments_by_event", keys, at_most), keys)
    return await _find_object(connection, asked, at_most, newest)


async def _find_object(connection: AnyConnection, asked: str, at_most: int, newest: int | None) -> _Found:
    """A payment is found by its key, what it went through in the ledger, anything else by reading the log."""
    payments = await _pairs(connection, "find_payments", asked, at_most)
    if not payments:
        await connection.fetch(_QUERIES["avoid_scans"], "off")
        payments = await _pairs(connection, "find_payments_by_object", asked, at_most)
        await connection.fetch(_QUERIES["avoid_scans"], "on")
    if not payments:
        return _Found((), await _keys(connection, "find_recent_webhooks", asked, at_most, newest))
    children = await _pairs(connection, "find_children", *columns(payments, 2), at_most)
    waiting = await _open(connection, "find_unprocessed_webhooks", asked, at_most)
    return _Found([*payments, *(child for child in children if child not in payments)], waiting)


async def _pairs(connection: AnyConnection, query: str, *arguments: object) -> list[tuple[str, str]]:
    rows = await connection.fetch(_QUERIES[query], *arguments)
    return [(row["scope"], row["payment_id"]) for row in rows]


async def _open(connection: AnyConnection, query: str, asked: str, at_most: int) -> list[str]:
    """Look through open webhooks, each index in its order from the mark on: without a sort there is no other way."""
    await connection.execute(_QUERIES["allow_sorts"], "off")
    keys = await _keys(connection, query, asked, at_most, _OPEN_AT_MOST)
    await connection.execute(_QUERIES["allow_sorts"], "on")
    return keys


async def _keys(connection: AnyConnection, query: str, *arguments: object) -> list[str]:
    return [row["stripe_event_id"] for row in await connection.fetch(_QUERIES[query], *arguments)]


async def _payments(connection: AnyConnection, pairs: Sequence[tuple[str, str]]) -> Sequence[Payment]:
    if not pairs:
        return ()
    wanted = columns(pairs, 2)
    facts: dict[tuple[str, str], list[asyncpg.Record]] = {pair: [] for pair in pairs}
    for row in await connection.fetch(_QUERIES["tell_facts"], *wanted):
        facts[row["scope"], row["payment_id"]].append(row)
    rows = await connection.fetch(_QUERIES["tell_payments"], *wanted)
    return [_payment(row, facts[row["scope"], row["payment_id"]]) for row in rows]


def _payment(row: asyncpg.Record, facts: Sequence[asyncpg.Record]) -> Payment:
    states = states_after(facts)
    told: list[RecordedFact] = []
    before: str | None = None
    for fact, state in zip(facts, states, strict=True):
        shown = {name: fact[name] for name in RecordedFact.__slots__ if name in fact}
        told.append(RecordedFact(**shown, status_after=state.status, decided=state.status != before))
        before = state.status
    now = states[-1] if states else NOTHING_KNOWN
    currencies = [fact.currency for fact in told if fact.currency is not None]
    return Payment(
        **dict(row.items()),
        amount_captured=now.amount_captured,
        amount_back=now.amount_back,
        currency=currencies[-1] if currencies else None,
        facts=told,
    )


async def _events_rows(connection: AnyConnection, ids: Sequence[str]) -> Sequence[EventsRow]:
    if not ids:
        return ()
    may_read = await connection.fetchval("SELECT has_column_privilege('events', 'webhook_secret', 'SELECT')")
    query = "tell_events_rows" if may_read else "tell_events_rows_without_secret"
    rows = await connection.fetch(_QUERIES[query], ids)
    counts = [await connection.fetchval(_QUERIES["count_payments_of_row"], row["id"], COUNTED_AT_MOST) for row in rows]
    return [EventsRow(**dict(row.items()), payments=count) for row, count in zip(rows, counts, strict=True)]


async def _webhooks(connection: AnyConnection, keys: Iterable[str], handlers_of: HandlersOf) -> Sequence[Webhook]:
    wanted = sorted(keys)
    if not wanted:
        return ()
    repeats = await connection.fetch(_QUERIES["tell_repeats"], wanted)
    errors = await connection.fetch(_QUERIES["tell_errors"], wanted, _ERRORS_AT_MOST)
    rows = await connection.fetch(_QUERIES["tell_webhooks"], wanted)
    waits = await _waits(connection, rows, handlers_of)
    fetches = await _fetches(connection, [row["stripe_event_id"] for row in rows if row["outcome"] == "fetching"])
    return [
        Webhook(
            **dict(row.items()),
            **fetches.get(row["stripe_event_id"], {}),
            wait=waits.get(row["stripe_event_id"]),
            repeats=[Repeat(**_about(one)) for one in repeats if one["stripe_event_id"] == row["stripe_event_id"]],
            errors=[LoggedError(**_about(one)) for one in errors if one["stripe_event_id"] == row["stripe_event_id"]],
        )
        for row in rows
    ]


async def _waits(connection: AnyConnection, rows: Sequence[asyncpg.Record], handlers_of: HandlersOf) -> dict[str, Wait]:
    """Read which of these a pause covers, by key."""
    if not await connection.fetchval("SELECT has_table_privilege('paused_webhook', 'SELECT')"):
        return {}
    waits: dict[str, Wait] = {}
    for row in rows:
        if row["processed"] or row["dead_at"] is not None:
            continue
        wait = await wait_of(connection, row["stripe_event_id"])
        if wait is None and row["next_attempt_at"] is not None:
            traits = Traits(row["webhook_type"], row["stripe_account_id"], row["tenant"])
            wait = await coming_wait(connection, traits, handlers_of)
        if wait is not None:
            waits[row["stripe_event_id"]] = wait
    return waits


async def _fetches(connection: AnyConnection, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read how each thin event waits, by its key."""
    if not keys or not await connection.fetchval("SELECT has_table_privilege('thin_fetch', 'SELECT')"):
        return {}
    rows = await connection.fetch(_QUERIES["tell_fetches"], keys)
    return {row["stripe_event_id"]: _about(row) for row in rows}


def _about(row: asyncpg.Record) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "stripe_event_id"}
