"""The application of the pages."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from console import metrics
from console.access.gate import Page
from console.web.faults import faults_as_pages
from console.web.headers import add_headers
from console.web.parts import PARTS, Parts
from console.web.rendering import MENU, MenuItem
from console.web.static import add_static
from sluice.runtime.listening import listen_on
from sluice.runtime.probes import PortTaken

_REQUEST_BYTES_AT_MOST = 64 * 1024
_HEAD_BYTES_AT_MOST = 8190


@dataclass(frozen=True, slots=True)
class Route:
    """
    A page's address.

    Args:
        name: the metric's label.
        menu: its title in the menu; empty: it is not there.
    """

    name: str
    path: str
    page: Page
    menu: str = ""
    method: str = "GET"


_NAMES = web.AppKey("names", Mapping[str, str])
_STRAY = "other"


class PagesPortTaken(PortTaken):
    """The port of the pages cannot be listened on."""


def make_app(parts: Parts, routes: Sequence[Route], gate: Middleware) -> web.Application:
    """Put the pages together, with what every request passes through."""
    app = web.Application(middlewares=[_measured, faults_as_pages, gate], client_max_size=_REQUEST_BYTES_AT_MOST)
    app[PARTS] = parts
    app[MENU] = [MenuItem(route.path, route.menu) for route in routes if route.menu]
    app.on_response_prepare.append(add_headers)
    add_static(app)
    names: dict[str, str] = {}
    for route in routes:
        resource = app.router.add_resource(route.path)
        resource.add_route(route.method, route.page)
        names[resource.canonical] = route.name
    app[_NAMES] = names
    return app


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """
    Listen for as long as the context is open; the port.

    Raises:
        PagesPortTaken: with a sentence for the person who runs this.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=15,
        shutdown_timeout=2,
        max_line_size=_HEAD_BYTES_AT_MOST,
        max_field_size=_HEAD_BYTES_AT_MOST,
    )
    await runner.setup()
    try:
        await _listen(runner, host, port)
        taken: int = runner.addresses[0][1]
        yield taken
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await listen_on(runner, host, port)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PagesPortTaken(
            f"The console cannot listen on {host}:{port} ({reason}); set LISTEN_PORT to a free port, or end what "
            "holds it."
        ) from error


@web.middleware
async def _measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count the page and its time, by its name; an address that leads nowhere is one page."""
    started = time.perf_counter()
    response = await handler(request)
    resource = request.match_info.route.resource
    name = _STRAY if resource is None else request.app[_NAMES].get(resource.canonical, _STRAY)
    metrics.PAGES.labels(name, str(response.status)).inc()
    metrics.PAGE_SECONDS.labels(name).observe(time.perf_counter() - started)
    return response
