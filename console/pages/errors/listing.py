"""Read one page of the errors of a filter, the newest first, in a time that no size of the table changes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from console.pages.errors.asked import Asked
from console.pages.webhooks.listing import Cursor
from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "listing.sql")
PAGE_ROWS = 50
LOOK_THROUGH = 20_000
"""Errors that one page looks through where no index finds what is asked."""
_DIGITS = {"bigint": 18, "integer": 9}
_PAGE = """
SELECT
    e.id::text AS id, e.severity::text AS severity, e.kind::text AS kind, e.service::text AS service,
    e.message::text AS message, e.stack_trace::text AS stack_trace, to_jsonb(e.request_data)::text AS request_data,
    e.event_id::text AS events_id, e.stripe_event_id::text AS webhook, e.resolved,
    e.resolved_at::timestamptz AS resolved_at, e.created_at::timestamptz AS created_at
FROM error_logs AS e
WHERE (($1::text[] IS NULL AND $2::text[] IS NULL) OR e.id = ANY ($1::text[]::{id_type}[])
       OR (coalesce(e.stripe_event_id, e.event_id) = ANY ($2) AND e.stripe_event_id IS NOT NULL))
  AND ($3::boolean IS NULL OR ($3 AND e.resolved) OR (NOT $3 AND NOT e.resolved))
  AND ($4::text IS NULL OR e.severity = $4)
  AND ($5::text IS NULL OR e.service = $5)
  AND ($6::text IS NULL OR e.kind = $6)
  AND ($7::text IS NULL OR to_jsonb(e.request_data) ->> 'handler' = $7)
  AND ($8::text IS NULL OR strpos(e.message, $8) > 0)
  AND ($9::timestamptz IS NULL OR e.created_at >= $9)
  AND ($10::timestamptz IS NULL OR e.created_at < $10)
  AND ($11::timestamptz IS NULL
       OR (e.created_at <= $11 AND (e.created_at, length(e.id::text), e.id::text) < ($11, $12::integer, $13::text)))
ORDER BY e.created_at DESC, length(e.id::text) DESC, e.id::text DESC
LIMIT $14
"""


@dataclass(frozen=True, slots=True)
class Note:
    """An operation that resolved an error, or took that back."""

    operation_id: int
    verb: str
    person: str
    reason: str
    done_at: datetime


@dataclass(frozen=True, slots=True)
class Error:
    """One row of ``error_logs``."""

    id: str
    severity: str
    kind: str | None
    service: str | None
    message: str
    stack_trace: str | None
    circumstances: Mapping[str, str]
    events_id: str | None
    webhook: str | None
    resolved: bool
    resolved_at: datetime | None
    created_at: datetime
    notes: Sequence[Note]


@dataclass(frozen=True, slots=True)
class Listing:
    """
    One page of errors.

    Args:
        next: where the next page begins; None: this is the last.
        looked_back_to: the page ends there, because it looked through as many errors as it may.
    """

    rows: Sequence[Error]
    next: Cursor | None
    looked_back_to: datetime | None


async def read_listing(connection: Connection, asked: Asked, after: Cursor | None) -> Listing:
    """Read the errors that were asked for, after a place in the list."""
    floor = await _floor(connection, asked, after)
    id_type = await connection.fetchval(QUERIES["id_type"])
    place = (None, None, None) if after is None else (after.created_at, len(after.id), after.id)
    found = await connection.fetch(
        _PAGE.format(id_type=id_type),
        None if not asked.ids else [key for key in asked.ids if _fits(key, id_type)],
        None if not asked.ids else list(asked.ids),
        asked.resolved,
        asked.severity,
        asked.service,
        asked.kind,
        asked.handler,
        asked.text,
        asked.since if floor is None else floor,
        asked.until,
        *place,
        PAGE_ROWS + 1,
    )
    rows = await _with_notes(connection, found[:PAGE_ROWS])
    if len(found) > PAGE_ROWS:
        return Listing(rows, Cursor(rows[-1].created_at, rows[-1].id), None)
    return Listing(rows, None if floor is None else Cursor(floor), floor)


async def _floor(connection: Connection, asked: Asked, after: Cursor | None) -> datetime | None:
    """How far back this page looks; None: as far as was asked."""
    if asked.is_found_by_index:
        return None
    ends = (asked.until, None if after is None else after.end)
    until = min((at for at in ends if at is not None), default=None)
    query = "look_back_unresolved" if asked.resolved is False else "look_back"
    floor: datetime | None = await connection.fetchval(QUERIES[query], until, LOOK_THROUGH)
    return None if floor is None or (asked.since is not None and floor <= asked.since) else floor


def _fits(key: str, id_type: str) -> bool:
    """Whether it can be an id of the table."""
    if id_type == "uuid":
        return _is_uuid(key)
    return id_type not in _DIGITS or re.fullmatch(f"[0-9]{{1,{_DIGITS[id_type]}}}", key) is not None


def _is_uuid(key: str) -> bool:
    try:
        return str(UUID(key)) == key.lower()
    except ValueError:
        return False


async def _with_notes(connection: Connection, rows: Sequence[asyncpg.Record]) -> Sequence[Error]:
    notes: dict[str, list[Note]] = {row["id"]: [] for row in rows}
    for note in await connection.fetch(QUERIES["notes"], list(notes)):
        notes[note["item_id"]].append(
            Note(note["operation_id"], note["verb"], note["person"], note["reason"], note["done_at"])
        )
    return [_error(row, notes[row["id"]]) for row in rows]


def _error(row: asyncpg.Record, notes: Sequence[Note]) -> Error:
    shown = {name: value for name, value in row.items() if name != "request_data"}
    return Error(**shown, circumstances=_circumstances(row["request_data"]), notes=notes)


def _circumstances(text: str | None) -> Mapping[str, str]:
    told = None if text is None else orjson.loads(text)
    return {str(name): str(value) for name, value in told.items()} if isinstance(told, dict) else {}
