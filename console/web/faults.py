"""Faults as pages: a refusal, an address that leads nowhere, a database that does not answer."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from console import metrics
from console.access.refusal import Reason, Refused
from console.web.rendering import render
from sluice.postgres.errors import DATABASE_ERRORS, cause_of
from sluice.postgres.sqlstate import Cause
from sluice.runtime import logs

_ENTER = "Ask for a new one with `sluice console`, where the console runs."
_TOLD: Final[Mapping[Reason, tuple[HTTPStatus, str]]] = {
    Reason.UNKNOWN_HOST: (HTTPStatus.MISDIRECTED_REQUEST, "The console does not go by this name: see CONSOLE_HOSTS."),
    Reason.NOT_THE_PROXY: (HTTPStatus.FORBIDDEN, "The console is reached through its proxy alone."),
    Reason.NO_USER: (HTTPStatus.FORBIDDEN, "The proxy named no user."),
    Reason.USER_NOT_LISTED: (HTTPStatus.FORBIDDEN, "You are on neither list: CONSOLE_VIEWERS, CONSOLE_OPERATORS."),
    Reason.NOT_LOOPBACK: (HTTPStatus.FORBIDDEN, "Without a proxy the console answers its own machine alone."),
    Reason.NO_SESSION: (HTTPStatus.UNAUTHORIZED, f"A one-time link lets you in. {_ENTER}"),
    Reason.LINK_USED: (HTTPStatus.UNAUTHORIZED, f"This link was used, or has been replaced. {_ENTER}"),
    Reason.FOREIGN_FORM: (HTTPStatus.FORBIDDEN, "This form is stale, or was no page of ours. Go back, load it again."),
    Reason.READ_ONLY: (HTTPStatus.FORBIDDEN, "You may look, and change nothing."),
}
_LOST: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.NOT_FOUND: "There is nothing here.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This page is not asked in this way.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "That is more than a form of ours holds.",
}
_CAUSES: Final[Mapping[Cause, str]] = {
    Cause.CANCELED: "PostgreSQL would take too long for this. Ask for less: a shorter time, one type, one state.",
    Cause.RIGHT_MISSING: "The console's login lacks a right: it wants to be a member of sluice_operator.",
    Cause.TABLE_MISSING: "This database lacks tables of Sluice's. Run `sluice migrate`.",
    Cause.SCHEMA_OLDER: "This database has an older schema. Run `sluice migrate`.",
    Cause.ROW_REFUSED: "PostgreSQL takes no such value.",
}
_AWAY = "PostgreSQL does not answer. Webhooks wait, and nothing is lost: Stripe sends again what it was not told of."


class Unfit(Exception):
    """A question that makes no sense; the message tells the person who asked it."""


@web.middleware
async def faults_as_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell a person what went wrong, and never how."""
    try:
        return await handler(request)
    except Refused as refusal:
        metrics.REFUSALS.labels(refusal.reason.value).inc()
        logs.get_logger().warning("console_refused", reason=refusal.reason.value, client=request.remote)
        status, told = _TOLD[refusal.reason]
        return _page(request, status, told)
    except Unfit as unfit:
        return _page(request, HTTPStatus.BAD_REQUEST, str(unfit))
    except web.HTTPException as refusal:
        if refusal.status < HTTPStatus.BAD_REQUEST:
            raise
        status = HTTPStatus(refusal.status)
        return _page(request, status, _LOST.get(status, status.phrase))
    except DATABASE_ERRORS as error:
        cause = cause_of(error)
        logs.get_logger().warning("console_without_database", cause=cause.name, error=type(error).__name__)
        return _page(request, HTTPStatus.SERVICE_UNAVAILABLE, _CAUSES.get(cause, _AWAY))
    except Exception:  # noqa: BLE001  told of in the log; a person gets a page all the same
        logs.get_logger().exception("console_page_broke", path=request.path)
        return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR, "This page broke. The console's log says how.")


def _page(request: web.Request, status: HTTPStatus, told: str) -> web.Response:
    return render(request, "fault.html", status=status, title=status.phrase, told=told)
