"""``/webhooks/{key}``: one webhook, its timeline, its facts, and its body behind a click that is recorded."""

from aiohttp import web

from console.access.visitor import VISITOR
from console.pages.act.request import fitting
from console.pages.webhook.body import Body, view_body
from console.pages.webhook.record import read_record
from console.pages.webhook.timeline import timeline
from console.web.parts import PARTS
from console.web.reading import reading
from console.web.rendering import render
from sluice.inbox.states import State
from sluice.operations import pauses, rehearsals
from sluice.operations.filters import Filter


async def show(request: web.Request) -> web.Response:
    """Show all that is on record about a webhook."""
    return await _page(request, None)


async def show_body(request: web.Request) -> web.Response:
    """Show it with its body, and record who viewed it."""
    key = _key(request)
    body = await view_body(request.app[PARTS].database, key, request[VISITOR].name)
    return await _page(request, body)


async def _page(request: web.Request, body: Body | None) -> web.Response:
    async with reading(request.app[PARTS].database) as connection:
        record = await read_record(connection, _key(request))
        wait = await pauses.wait_of(connection, _key(request))
    if record is None:
        raise web.HTTPNotFound
    state = State[record.webhook.state.upper()]
    return render(
        request,
        "webhook/page.html",
        title=record.webhook.key,
        record=record,
        wait=wait,
        webhook=record.webhook,
        meaning=state.meaning.replace("`", ""),
        moments=timeline(record),
        verbs=fitting(Filter(states=[state]), state=str(state)),
        rehearsed=rehearsals.VERBS,
        body=body,
    )


def _key(request: web.Request) -> str:
    key = request.match_info["key"]
    if "\0" in key:
        raise web.HTTPNotFound
    return key
