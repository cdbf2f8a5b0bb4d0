"""``/errors``: the rows of ``error_logs``, and the way to resolve them."""

from aiohttp import web

from console.pages.errors.asked import CHOICES, RESOLVED, read_asked
from console.pages.errors.listing import LOOK_THROUGH, read_listing
from console.pages.webhooks.listing import Cursor
from console.web.parts import PARTS
from console.web.reading import reading
from console.web.rendering import render


async def show(request: web.Request) -> web.Response:
    """Show the errors of a filter, the newest first."""
    asked = read_asked(request.query)
    after = Cursor.parse(request.query.get("after", ""))
    async with reading(request.app[PARTS].database) as connection:
        listing = await read_listing(connection, asked, after)
    return render(
        request,
        "errors/page.html",
        title="Errors",
        asked=asked,
        listing=listing,
        is_first=after is None,
        is_filtered=set(asked.fields) != {"show"},
        choices=CHOICES,
        shown=list(RESOLVED),
        look_through=LOOK_THROUGH,
    )
