"""The public port: ``GET /api/health``, answered from the health state without waiting for anything."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import orjson
from aiohttp import web

from healthd.health_state import HealthState
from healthd.report import brief, detailed
from sluice.runtime.listening import listen_on
from sluice.runtime.probes import JsonValue, PortTaken

STATE = web.AppKey("health_state", HealthState)
DETAILS = web.AppKey("details", bool)
_REQUEST_BYTES_AT_MOST = 4096
_HEADERS = {"Cache-Control": "no-store", "Content-Type": "application/json", "Server": "sluice"}
_FAULTS = {
    404: ("not_found", "There is nothing here; health is at /api/health."),
    405: ("method_not_allowed", "Use GET."),
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PublicPortTaken(PortTaken):
    """The public port cannot be listened on."""


def make_app(state: HealthState, *, with_details: bool) -> web.Application:
    """The application of the public port."""
    app = web.Application(middlewares=[faults_as_json], client_max_size=_REQUEST_BYTES_AT_MOST)
    app[STATE] = state
    app[DETAILS] = with_details
    app.router.add_get("/api/health", health)
    return app


@asynccontextmanager
async def serve(app: web.Application, *, host: str, port: int) -> AsyncIterator[None]:
    """Listen for as long as the context is open. Raises PublicPortTaken."""
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=15, shutdown_timeout=2)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await listen_on(runner, host, port)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PublicPortTaken(
            f"healthd cannot listen on {host}:{port} ({reason}); set LISTEN_PORT to a free port, or end what holds it."
        ) from error


async def health(request: web.Request) -> web.Response:
    """``GET /api/health`` of the public port."""
    return answer(request.app[STATE], with_details=request.app[DETAILS])


def answer(state: HealthState, *, with_details: bool) -> web.Response:
    """200 while webhooks are taken in and the database answers, else 503; what is not known is 503."""
    verdict = state.verdict()
    tell = detailed if with_details else brief
    body = tell(state.snapshot, verdict, now=state.now(), at=datetime.now(UTC))
    return _json(200 if verdict.is_serving else 503, body)


@web.middleware
async def faults_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The router's own refusals, in the form that every Sluice service answers with."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        code, message = _FAULTS.get(refusal.status, ("rejected", "This request cannot be answered."))
        response = _json(refusal.status, {"error": {"code": code, "message": message}})
        if "Allow" in refusal.headers:
            response.headers["Allow"] = refusal.headers["Allow"]
        return response


def _json(status: int, body: dict[str, JsonValue]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), headers=_HEADERS)
