"""``/trouble``: dead, failing and waiting webhooks by cause, with the verb that mends them."""

from aiohttp import web

from console.pages.trouble.reading import LOOK_THROUGH, read_trouble
from console.web.parts import PARTS
from console.web.reading import reading
from console.web.rendering import render
from sluice.inbox.states import State

_SHOWN = 100


async def show(request: web.Request) -> web.Response:
    """Show the causes, the gravest first."""
    async with reading(request.app[PARTS].database) as connection:
        trouble = await read_trouble(connection)
    return render(
        request,
        "trouble/page.html",
        title="Trouble",
        trouble=trouble,
        groups=trouble.groups[:_SHOWN],
        meanings={str(state): f"{state.meaning.replace('`', '').partition('. ')[0].rstrip('.')}." for state in State},
        look_through=LOOK_THROUGH,
    )
