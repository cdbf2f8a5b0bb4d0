"""Read the items of one operation, a page at a time, and count what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import orjson

from sluice.operations.book import Result
from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "items.sql")
PAGE_ROWS = 50
LOOK_THROUGH = 20_000
"""Items that one page looks through for a result."""
COUNTED_AT_MOST = 50_000
OPEN = "to come"
"""Stands for items that have no result yet."""
RESULTS: Mapping[str, str] = {
    Result.CHANGED: "did what was asked",
    Result.UNFIT: "left as it was: in a state that the verb does not take, when its turn came",
    Result.HELD: "left as it was: another transaction held the row",
    Result.MISSING: "left out: the row is gone",
    Result.FAILED: "the handler failed over it",
    OPEN: "its turn has not come",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One row that an operation is about, and what became of it."""

    position: int
    item_id: str
    done_at: datetime | None
    result: str | None
    before: str | None
    """Its state before."""
    after: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Items:
    """One page of them."""

    rows: Sequence[Item]
    next: int | None
    """Position after which the next page begins; None: this is the last."""
    looked_to: int | None
    """The page ends at this position, because it looked through as many items as it may."""


async def count_results(connection: Connection, number: int) -> Mapping[str, int]:
    """Count what became of the items, of the first ``COUNTED_AT_MOST`` alone."""
    rows = await connection.fetch(QUERIES["count_results"], number, COUNTED_AT_MOST)
    return {row["result"]: row["count"] for row in rows}


async def read_items(connection: Connection, number: int, result: str | None, after: int, last: int) -> Items:
    """Read the items of one result, or all, that come after a position."""
    end = min(last, after + LOOK_THROUGH)
    if result == OPEN:
        found, end = await connection.fetch(QUERIES["open_items_of"], number, after, PAGE_ROWS + 1), last
    else:
        found = await connection.fetch(QUERIES["items_of"], number, after, end, result, PAGE_ROWS + 1)
    rows = [_item(row) for row in found[:PAGE_ROWS]]
    if len(found) > PAGE_ROWS:
        return Items(rows, rows[-1].position, None)
    return Items(rows, None, None) if end >= last else Items(rows, end, end)


def _item(row: asyncpg.Record) -> Item:
    before, after = _document(row["before"]), _document(row["after"])
    return Item(
        row["position"],
        row["item_id"],
        row["done_at"],
        row["result"],
        _text(before.get("state")),
        _text(after.get("state")),
        _text(after.get("error")),
    )


def _document(text: str | None) -> Mapping[str, object]:
    told = None if text is None else orjson.loads(text)
    return told if isinstance(told, dict) else {}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
