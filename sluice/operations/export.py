"""Webhooks of a filter from the oldest to the newest, page by page, however many there are."""

import base64
import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import asyncpg
import orjson

from sluice.inbox.operations import AnyConnection
from sluice.inbox.states import State
from sluice.operations.filters import PARAMETERS, Filter, chosen_webhooks
from sluice.postgres.sql import load_queries
from sluice.runtime.printable import printable, printable_json

QUERIES = load_queries(__file__, "export.sql")
COLUMNS: Final = (
    "id", "type", "state", "received", "account", "organiser", "mode", "api_version", "object", "created",
    "verified_by", "attempts", "outcome", "error", "publications", "processed", "dead",
)  # fmt: skip
_BODY: Final = "body_base64"
_PAGE: Final = 1_000
_PAGE_OF_BODIES: Final = 50
"""A body has up to 2 MiB."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet computes a cell that begins so."""
_OF_A_PAGE = f"""
WITH page AS MATERIALIZED (
    SELECT item_id, state, created_at, id
    FROM ({{choice}}) AS choice
    WHERE ${PARAMETERS + 1}::timestamptz IS NULL
       OR (created_at, length(id), id)
        > (${PARAMETERS + 1}::timestamptz, length(${PARAMETERS + 2}::text), ${PARAMETERS + 2}::text)
    ORDER BY created_at, length(id), id
    LIMIT ${PARAMETERS + 3}
)
SELECT page.item_id, page.state, page.created_at, page.id, w.webhook_type, w.stripe_account_id, w.tenant, w.livemode,
       w.api_version, w.object_id, w.stripe_created_at::timestamptz AS stripe_created_at, w.verified_by,
       w.processing_attempts, w.outcome, w.last_error, w.publications, w.processed_at::timestamptz AS processed_at,
       w.dead_at::timestamptz AS dead_at,
       CASE WHEN ${PARAMETERS + 4}::boolean THEN sluice_body(w.body, w.body_id) END AS body
FROM page
JOIN webhook_logs AS w ON w.stripe_event_id = page.item_id
ORDER BY page.created_at, length(page.id), page.id
"""  # noqa: S608 - the text is our own


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a webhook in the order of receipt."""

    received: datetime
    row_id: str


@dataclass(frozen=True, slots=True)
class Exported:
    """One webhook of an export."""

    item_id: str
    place: Place
    values: Mapping[str, object]
    """By the names of ``COLUMNS``."""
    body: bytes | None


async def place_of(session: AnyConnection, stripe_event_id: str) -> Place | None:
    """Find a webhook's place; None: there is none of this key."""
    rows = await session.fetch(QUERIES["place_of"], stripe_event_id)
    return Place(rows[0]["created_at"], rows[0]["id"]) if rows else None


async def export(
    session: AnyConnection, chosen: Filter, *, after: Place | None = None, with_bodies: bool = False
) -> AsyncIterator[Sequence[Exported]]:
    """
    Give the webhooks of a filter in the order of their receipt, a page at a time.

    No transaction stays open meanwhile: a webhook that arrives during the export is given if its turn is still to come.

    Args:
        after: begin after this place, where an export was cut short.
        with_bodies: give each body too.
    """
    size = _PAGE_OF_BODIES if with_bodies else _PAGE
    query = _OF_A_PAGE.format(choice=chosen_webhooks(chosen.states or list(State)))
    while True:
        narrowed = (
            chosen if after is None else replace(chosen, since=max(chosen.since or after.received, after.received))
        )
        mark = (None, None) if after is None else (after.received, after.row_id)
        page = [_exported(row) for row in await session.fetch(query, *narrowed.parameters, *mark, size, with_bodies)]
        if page:
            yield page
        if len(page) < size:
            return
        after = page[-1].place


def json_line(one: Exported, *, with_body: bool) -> str:
    """
    One line of JSON, with nothing in it that a terminal obeys.

    The body is its text, each letter as Stripe signed it; bytes that are no UTF-8 stand in base64, under another name.
    """
    document = {**one.values, **(_body(one.body) if with_body else {})}
    return printable_json(orjson.dumps(document).decode())


def csv_writer(*, with_bodies: bool) -> Callable[[Sequence[Exported]], str]:
    """
    Make a writer of CSV (RFC 4180), of which the first page has the names of the columns above it.

    A cell that a spreadsheet would compute begins with an apostrophe; what a terminal would obey is escaped. Bodies are
    in base64, for both of these would change them.
    """
    head: list[Sequence[str]] = [[*COLUMNS, *([_BODY] if with_bodies else [])]]

    def write(page: Sequence[Exported]) -> str:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows(head)
        head.clear()
        for one in page:
            body = [base64.b64encode(one.body or b"").decode()] if with_bodies else []
            writer.writerow([*(_cell(one.values[name]) for name in COLUMNS), *body])
        return text.getvalue()

    return write


def _beginning_at(chosen: Filter, moment: datetime) -> Filter:
    return replace(chosen, since=max(chosen.since or moment, moment))


def _exported(row: asyncpg.Record) -> Exported:
    values = (
        row["item_id"], row["webhook_type"], row["state"], _moment(row["created_at"]), row["stripe_account_id"],
        row["tenant"], {True: "live", False: "test", None: None}[row["livemode"]], row["api_version"], row["object_id"],
        _moment(row["stripe_created_at"]), row["verified_by"], row["processing_attempts"], row["outcome"],
        row["last_error"], row["publications"], _moment(row["processed_at"]), _moment(row["dead_at"]),
    )  # fmt: skip
    return Exported(
        row["item_id"], Place(row["created_at"], row["id"]), dict(zip(COLUMNS, values, strict=True)), row["body"]
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _body(body: bytes | None) -> Mapping[str, str | None]:
    if body is None:
        return {"body": None}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {_BODY: base64.b64encode(body).decode()}


def _cell(value: object) -> str:
    text = "" if value is None else printable(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
