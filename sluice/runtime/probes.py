"""The admin port: what a kubelet, Prometheus, healthd and a person with curl may ask; never on the public port."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias

import orjson
from aiohttp import web

from sluice.runtime import logs, metrics
from sluice.runtime.listening import listen_on
from sluice.runtime.version import version

JsonValue: TypeAlias = "str | int | float | bool | Mapping[str, JsonValue] | list[JsonValue] | None"

Page: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STARTED = "startup"
_DRAINING = "shutdown"
_SHUTDOWN_SECONDS = 0.5
_VERSION = version()  # reads a file, which a process that has run out of descriptors could not open


class PortTaken(OSError):
    """A port cannot be listened on; the message is a sentence for the person who runs this."""


class AdminPortTaken(PortTaken):
    """The admin port cannot be listened on."""


class Probes:
    """
    ``/livez``, ``/readyz``, ``/metrics`` and ``/status`` of one service.

    ``/livez`` says only that the event loop turns: an answer is the proof. Checks and reports are plain functions that
    tell what the service already knows; none of them waits for anything.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._checks: dict[str, Callable[[], bool]] = {}
        self._reasons: dict[str, Callable[[], str]] = {}
        self._reports: dict[str, Callable[[], Mapping[str, JsonValue]]] = {}
        self._pages: dict[str, Page] = {}
        self._started_at = time.monotonic()
        self.has_started = False  # a ready service is sent work: it becomes ready once its ports are open
        self.is_draining = False
        self.port = 0  # the port in use, once ``serve`` listens

    def add_readiness(self, name: str, check: Callable[[], bool], *, reason: Callable[[], str] | None = None) -> None:
        """Be ready only while ``check`` says so; ``reason`` tells a person why not, in words that hold no secret."""
        self._checks[name] = check
        if reason is not None:
            self._reasons[name] = reason

    def add_status(self, name: str, report: Callable[[], Mapping[str, JsonValue]]) -> None:
        """Show what ``report`` gives as the key ``name`` of ``/status``."""
        self._reports[name] = report

    def add_page(self, path: str, page: Page) -> None:
        """Answer GET on one more path of the admin port."""
        self._pages[path] = page

    def results(self) -> dict[str, bool]:
        """Every readiness check with its verdict now, between the service's own start and end."""
        checks = {name: _passes(name, check) for name, check in self._checks.items()}
        return {_STARTED: self.has_started, **checks, _DRAINING: not self.is_draining}

    def status(self) -> dict[str, JsonValue]:
        """The answer to ``/status``."""
        checks = self.results()
        return {
            "service": self._service,
            "version": _VERSION,
            "uptime_seconds": round(time.monotonic() - self._started_at, 3),
            "ready": all(checks.values()),
            "draining": self.is_draining,
            "checks": dict(checks),
            **{name: _ask(name, report) for name, report in self._reports.items()},
        }

    @asynccontextmanager
    async def serve(self, host: str, port: int) -> AsyncIterator[None]:
        """
        Listen on the admin port, any free one for 0, until the block ends.

        Raises:
            AdminPortTaken: with a sentence for the person who runs this.
        """
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, keepalive_timeout=75)
        await runner.setup()
        try:
            await self._listen(runner, host, port)
            yield
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner, host: str, port: int) -> None:
        try:
            await listen_on(runner, host, port)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise AdminPortTaken(
                f"{self._service} cannot listen on its admin port {host}:{port} ({reason}); "
                "set ADMIN_PORT to a free port, or end what holds it."
            ) from error
        self.port = runner.addresses[0][1]

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/status", self._status)
        app.router.add_get("/{path:.*}", self._page)
        return app

    async def _livez(self, request: web.Request) -> web.Response:
        return _probe("livez", {"event_loop": True}, {}, request)

    async def _readyz(self, request: web.Request) -> web.Response:
        return _probe("readyz", self.results(), self._reasons, request)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _page(self, request: web.Request) -> web.StreamResponse:
        page = self._pages.get(request.path)
        if page is None:
            raise web.HTTPNotFound
        return await page(request)

    async def _status(self, _: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self.status(), default=str), content_type="application/json")


def _probe(
    probe: str, results: Mapping[str, bool], reasons: Mapping[str, Callable[[], str]], request: web.Request
) -> web.Response:
    """Answer as the Kubernetes API server does: ``ok``, or one line for each check."""
    excluded = set(request.query.getall("exclude", []))
    passed = all(ok for name, ok in results.items() if name not in excluded)
    if passed and "verbose" not in request.query:
        return web.Response(text="ok")
    lines = [_line(name, reasons.get(name), ok=ok, excluded=name in excluded) for name, ok in results.items()]
    if unknown := sorted(excluded - results.keys()):
        lines.append(f"warn: some health checks cannot be excluded: no matches for {', '.join(map(repr, unknown))}")
    lines.append(f"{probe} check {'passed' if passed else 'failed'}")
    return web.Response(text="\n".join(lines) + "\n", status=200 if passed else 503)


def _line(name: str, reason: Callable[[], str] | None, *, ok: bool, excluded: bool) -> str:
    if excluded:
        return f"[+]{name} excluded: ok"
    return f"[+]{name} ok" if ok else f"[-]{name} failed: {reason() if reason else 'reason withheld'}"


def _passes(name: str, check: Callable[[], bool]) -> bool:
    try:
        return bool(check())
    except Exception:  # noqa: BLE001  a check that breaks is a check that fails
        logs.get_logger().exception("readiness_check_broke", check=name)
        return False


def _ask(name: str, report: Callable[[], Mapping[str, JsonValue]]) -> Mapping[str, JsonValue]:
    try:
        return report()
    except Exception as error:  # noqa: BLE001  one broken report must not hide the others
        logs.get_logger().exception("status_report_broke", report=name)
        return {"error": type(error).__name__}
