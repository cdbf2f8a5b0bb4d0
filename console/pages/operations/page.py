"""``/operations``: what operators did and do; ``/operations/{id}``: one with its items."""

from aiohttp import web

from console.pages.operations.items import COUNTED_AT_MOST, LOOK_THROUGH, RESULTS, count_results, read_items
from console.pages.operations.listing import read_listing, read_operation, undone_by
from console.web.faults import Unfit
from console.web.parts import PARTS
from console.web.reading import reading
from console.web.rendering import render

_DIGITS = 18
_UNDOABLE = ("write-off", "resolve")


async def show(request: web.Request) -> web.Response:
    """List operations, the newest first."""
    before = _number(request.query.get("before", ""))
    async with reading(request.app[PARTS].database) as connection:
        listing = await read_listing(connection, before)
    return render(request, "operations/page.html", title="Operations", listing=listing, is_first=before is None)


async def show_one(request: web.Request) -> web.Response:
    """Show one operation: who and why, how far, and what became of each item."""
    number = _whole(request.match_info["id"], web.HTTPNotFound())
    result = _result(request.query.get("result", ""))
    after = _number(request.query.get("after", "")) or 0
    async with reading(request.app[PARTS].database) as connection:
        operation = await read_operation(connection, number)
        if operation is None:
            raise web.HTTPNotFound
        items = await read_items(connection, number, result, after, operation.items)
        counts = await count_results(connection, number)
        undone = await undone_by(connection, number)
    return render(
        request,
        "operations/operation.html",
        title=f"Operation {operation.id}",
        operation=operation,
        items=items,
        counts=counts,
        counted_at_most=COUNTED_AT_MOST,
        look_through=LOOK_THROUGH,
        undone=undone,
        may_undo=operation.verb in _UNDOABLE and not operation.is_open,
        results=RESULTS,
        result=result,
        after=after,
    )


def _result(word: str) -> str | None:
    if word and word not in RESULTS:
        raise Unfit("There is no such result.")
    return word or None


def _number(text: str) -> int | None:
    return _whole(text, Unfit("An operation, and a place among its items, is a number.")) if text else None


def _whole(text: str, otherwise: Exception) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise otherwise
    return int(text)
