"""``/webhooks``: the list, its filter, and the search that leads to a page."""

from aiohttp import web

from console.pages.act.request import fitting
from console.pages.webhooks.listing import LOOK_THROUGH, Cursor, read_listing
from console.pages.webhooks.search import address_of
from console.web.faults import Unfit
from console.web.filter_form import read_filter
from console.web.parts import PARTS
from console.web.reading import reading
from console.web.rendering import render
from sluice.inbox.states import State

_LONGEST_ID = 600


async def show(request: web.Request) -> web.Response:
    """Show the webhooks of a filter, the newest first."""
    form = read_filter(request.query)
    after = Cursor.parse(request.query.get("after", ""))
    async with reading(request.app[PARTS].database) as connection:
        listing = await read_listing(connection, form.chosen, after)
    return render(
        request,
        "webhooks/page.html",
        title="Webhooks",
        form=form,
        listing=listing,
        is_first=after is None,
        verbs=fitting(form.chosen),
        states=[(str(state), state.meaning.replace("`", "")) for state in State],
        look_through=LOOK_THROUGH,
    )


async def search(request: web.Request) -> web.Response:
    """Lead to the page of the id that was typed."""
    text = request.query.get("q", "").strip()
    if not text:
        raise web.HTTPSeeOther("/webhooks")
    if "\0" in text or len(text) > _LONGEST_ID or "@" in text.partition("evt_")[0]:
        raise Unfit("Search by an id: evt_…, pi_…, ch_…, cus_…, acct_…, or the id of an events row; not by e-mail.")
    async with reading(request.app[PARTS].database) as connection:
        raise web.HTTPSeeOther(await address_of(connection, text))
