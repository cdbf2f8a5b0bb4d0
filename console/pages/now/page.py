"""``/``: is money flowing?"""

from aiohttp import web

from console.pages.now.accounts import least_complete
from console.pages.now.chart import HEIGHT, WIDTH, draw
from console.pages.now.figures import figures_of
from console.pages.now.rates import Rates
from console.web.parts import PARTS
from console.web.reading import reading
from console.web.rendering import render
from sluice.operations import pauses

RATES = web.AppKey("rates", Rates)
_TABLE_MINUTES = 15
_PAUSED_COUNTED = 10_000


async def show(request: web.Request) -> web.Response:
    """Show health, rates, backlog, completeness and connections."""
    parts, rates = request.app[PARTS], request.app[RATES]
    figures = figures_of(await parts.health.read())
    async with reading(parts.database) as connection:
        accounts = await least_complete(connection)
        paused = await pauses.read_open(connection, count_to=_PAUSED_COUNTED)
    minutes = rates.minutes()
    return render(
        request,
        "now/page.html",
        title="Now",
        figures=figures,
        accounts=accounts,
        pauses=paused,
        counted_to=_PAUSED_COUNTED,
        minutes=minutes[-_TABLE_MINUTES:],
        chart=draw(minutes),
        counted_at=rates.counted_at,
        width=WIDTH,
        height=HEIGHT,
    )
