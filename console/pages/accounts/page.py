"""``/accounts``: each account and organiser, its last webhook, its secrets, refusals and gaps."""

from aiohttp import web

from console.pages.accounts.reading import LOOK_THROUGH, read_seen
from console.pages.accounts.standing import standing_of
from console.web.parts import PARTS
from console.web.reading import reading
from console.web.rendering import render

_SHOWN = 200


async def show(request: web.Request) -> web.Response:
    """Show them, those with a problem first."""
    async with reading(request.app[PARTS].database) as connection:
        seen = await read_seen(connection)
    standing = standing_of(seen)
    return render(
        request,
        "accounts/page.html",
        title="Accounts",
        standing=standing,
        refusals=[one for one in seen.refusals if one.organiser is None],
        looked_back_to=seen.looked_back_to,
        look_through=LOOK_THROUGH,
        shown=_SHOWN,
    )
