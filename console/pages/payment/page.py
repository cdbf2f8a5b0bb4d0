"""``/payments/{id}`` and ``/events/{id}``: why it is paid, or not."""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

from aiohttp import web

from console.pages.payment.story import story_of
from console.web.parts import PARTS
from console.web.reading import reading
from console.web.rendering import render
from sluice.contract.thin import plain_type
from sluice.inbox.pauses import Traits
from sluice.operations.handlers import KnownHandler, known_handlers
from sluice.ops.why.lookup import COUNTED_AT_MOST, NEWEST, look_up
from sluice.payments.status import PaymentStatus

_LONGEST_ID = 600
_AT_MOST = 20


async def show_payment(request: web.Request) -> web.Response:
    """Show a payment, or anything that a payment went through."""
    return await _show(request, "Payment")


async def show_row(request: web.Request) -> web.Response:
    """Show a row of ``events`` with its payments."""
    return await _show(request, "Events row")


async def _show(request: web.Request, kind: str) -> web.Response:
    asked = request.match_info["id"].strip()
    if not asked or "\0" in asked or len(asked) > _LONGEST_ID:
        raise web.HTTPNotFound
    async with reading(request.app[PARTS].database) as connection:
        handlers = await known_handlers(connection)
        history = await look_up(connection, asked, at_most=_AT_MOST, handlers_of=partial(_names, handlers))
    return render(
        request,
        "payment/page.html",
        status=HTTPStatus.NOT_FOUND if history.is_empty else HTTPStatus.OK,
        title=f"{kind} {asked}",
        kind=kind,
        asked=asked,
        story=story_of(history),
        is_unknown=history.is_empty,
        is_cut=len(history.payments) >= _AT_MOST,
        order=[status.replace("_", " ") for status in PaymentStatus],
        newest=NEWEST,
        counted_at_most=COUNTED_AT_MOST,
    )


def _names(handlers: Sequence[KnownHandler], webhook: Traits) -> Sequence[str]:
    """Names the handlers that processors have for a webhook: the console loads none itself."""
    kind = plain_type(webhook.event_type)
    return [one.name for one in handlers if kind in (one.types if webhook.tenant is None else one.organiser_types)]
