"""The gate before every page: host name, person, origin of a form."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from console.access import forms
from console.access.refusal import Reason, Refused
from console.access.visitor import VISITOR, Visitor

Page: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access(Protocol):
    """A way to know who asks."""

    def visitor(self, request: web.Request) -> Visitor:
        """Name the person who asks. Raises Refused."""
        ...


def gate(access: Access, hosts: frozenset[str], *, open_paths: frozenset[str]) -> Middleware:
    """
    Make the middleware that lets a request pass to its page.

    Args:
        hosts: names that the Host header may carry; another would be a name that an attacker points at us.
        open_paths: paths that need no person: those of style and script, and of the link itself.
    """

    @web.middleware
    async def stand_before(request: web.Request, handler: Handler) -> web.StreamResponse:
        if host_name(request.host) not in hosts:
            raise Refused(Reason.UNKNOWN_HOST)
        if request.path in open_paths:
            return await handler(request)
        request[VISITOR] = access.visitor(request)
        request[forms.FORM_TOKEN] = forms.token_of(request)
        await forms.refuse_foreign_forms(request)
        response = await handler(request)
        _keep_token(request, response)
        return response

    return stand_before


def acting(page: Page) -> Page:
    """Keep a page for people who may change things."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if not request[VISITOR].may_act:
            raise Refused(Reason.READ_ONLY)
        return await page(request)

    return guarded


def host_name(host: str) -> str:
    """Give the name in a Host header, without its port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isascii() and port.isdigit() else host.lower()


def _keep_token(request: web.Request, response: web.StreamResponse) -> None:
    if request.cookies.get(forms.COOKIE) != request[forms.FORM_TOKEN]:
        is_secure = request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(
            forms.COOKIE, request[forms.FORM_TOKEN], httponly=True, samesite="Strict", secure=is_secure, path="/"
        )
