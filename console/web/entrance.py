"""The address of a one-time link, and the file that holds the next one."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from console.access.link import COOKIE, LinkAccess
from console.web.application import Route
from console.web.faults import Unfit
from console.web.rendering import render
from sluice.runtime.printable import printable

PATH = "/enter"
DEFAULT_PERSON = "someone at this machine"
_LONGEST_NAME = 100


def route(access: LinkAccess) -> Route:
    """Exchange a link's token for a session."""

    async def enter(request: web.Request) -> web.Response:
        person = request.query.get("by", "").strip() or DEFAULT_PERSON
        if len(person) > _LONGEST_NAME or person != printable(person):
            raise Unfit("That can be no name.")
        cookie = access.enter(request, request.query.get("token", ""), person)
        # A page, no redirect: a browser that follows one from another site's link would leave a strict cookie out.
        response = render(request, "enter.html", title="Welcome")
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="Strict", path="/")
        return response

    return Route("enter", PATH, enter)


def link_writer(path: Path, url: Callable[[], str]) -> Callable[[str], None]:
    """Keep the next link in a file that its owner alone may read; a reader sees the old link or the new one."""

    def write(token: str) -> None:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{url()}{PATH}?token={token}\n")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    return write
