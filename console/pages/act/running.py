"""Operations under way: cancel one, go on with one, undo one."""

from aiohttp import web

from console.access.visitor import VISITOR
from console.pages.act.request import reason_of, texts_of
from console.web.faults import Unfit
from console.web.parts import PARTS
from sluice.inbox.operations import Decision
from sluice.operations import book
from sluice.operations.book import NotUndoable, Operation, Progress
from sluice.postgres.pool import Connection

_DIGITS_AT_MOST = 18


async def cancel(request: web.Request) -> web.Response:
    """Let no further item be changed."""
    async with request.app[PARTS].database.acquire() as connection:
        operation = await _operation(request, connection)
        await book.cancel(connection, operation.id, request[VISITOR].name)
    raise web.HTTPSeeOther(f"/operations/{operation.id}")


async def resume(request: web.Request) -> web.Response:
    """Go on with one that was cut short: its console or its command line ended."""
    parts = request.app[PARTS]
    async with parts.database.acquire() as connection:
        operation = await _operation(request, connection)
    if operation.progress is not Progress.OPEN:
        raise Unfit(f"Operation {operation.id} is {operation.progress}.")
    if operation.handler is None:  # else a processor carries it out
        parts.runs.start(operation.id)
    raise web.HTTPSeeOther(f"/operations/{operation.id}")


async def undo(request: web.Request) -> web.Response:
    """Write another operation down that takes back what one has changed; and carry it out."""
    parts = request.app[PARTS]
    decision = Decision(request[VISITOR].name, reason_of(await texts_of(request)))
    async with parts.database.acquire() as connection:
        undone = await _operation(request, connection)
        try:
            number = await book.start_undo(connection, undone, decision)
        except NotUndoable as error:
            raise Unfit(str(error)) from error
    parts.runs.start(number)
    raise web.HTTPSeeOther(f"/operations/{number}")


async def _operation(request: web.Request, connection: Connection) -> Operation:
    text = request.match_info["id"]
    is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS_AT_MOST
    operation = await book.read(connection, int(text)) if is_number else None
    if operation is None:
        raise web.HTTPNotFound
    return operation
