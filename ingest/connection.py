"""
The public port: aiohttp's low-level server, with what it leaves out.

aiohttp has no limit on connections, none on the time to a first request, and none on the time that a client leaves its
answers unread; and its own error pages quote the request. Here a client that is silent or deaf is cut off.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web

from ingest import metrics
from ingest.answers import refusal
from ingest.failures import BadRequest, TooMuchAtOnce
from ingest.notices import NOTICES
from sluice.chassis.probes import PortTaken
from sluice.failures import Defect

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_BACKLOG = 1024
_LINGER_SECONDS = 2.0
_LINE_BYTES = 8190
_HEADERS = 64


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one client may cost."""

    connections: int = 2_000
    head_seconds: float = 10
    """From connecting to the end of the first request's headers."""
    keepalive_seconds: float = 75
    """Between two requests; it covers headers that come in drops, too."""
    write_seconds: float = 5
    """How long a client may leave more answers unread than its and our buffers hold."""


class GuardedConnection(web.RequestHandler):
    """One client's connection, with deadlines on its first request and on its reading."""

    __slots__ = ("_deaf", "_limits", "_public_server", "_silent")

    def __init__(self, server: "PublicServer", limits: ConnectionLimits, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=limits.keepalive_seconds,
            lingering_time=_LINGER_SECONDS,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
            max_headers=_HEADERS,
            auto_decompress=False,
            access_log=cast("logging.Logger", None),  # aiohttp's own way to have none
        )
        self._limits = limits
        self._public_server = server
        self._silent: asyncio.TimerHandle | None = None
        self._deaf: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client in, or tell it that there are too many."""
        if self._public_server.is_full:
            metrics.CONNECTIONS_CUT.labels("too_many").inc()
            _turn_away(cast("asyncio.Transport", transport))
            return
        super().connection_made(transport)
        self._silent = self._loop.call_later(self._limits.head_seconds, self._cut_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the deadlines."""
        for deadline in (self._silent, self._deaf):
            if deadline is not None:
                deadline.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read: it has a while to begin."""
        super().pause_writing()
        self._deaf = self._loop.call_later(self._limits.write_seconds, self._cut, "deaf")

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._deaf is not None:
            self._deaf.cancel()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP with 400, and what escaped the handler with 500; quote nothing."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if status < 500 or exc is None:  # noqa: PLR2004
            answer = refusal(BadRequest())
        else:
            NOTICES.failed("request_handler_broke", exc)
            answer = refusal(Defect())
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Say that something broke, without what the request contained."""
        del args
        error = kw.get("exc_info")
        if isinstance(error, BaseException):
            NOTICES.failed("http_connection_broke", error)

    def _cut_if_silent(self) -> None:
        if self._request_count == 0:
            self._cut("silent")

    def _cut(self, reason: str) -> None:
        metrics.CONNECTIONS_CUT.labels(reason).inc()
        if self.transport is not None:
            self.transport.abort()


def _turn_away(transport: asyncio.Transport) -> None:
    transport.write(refusal(TooMuchAtOnce()).to_bytes(keep_alive=False))
    transport.close()


class PublicServer(web.Server):
    """Makes a guarded connection for each client."""

    def __init__(self, handler: Handler, limits: ConnectionLimits) -> None:
        super().__init__(handler)
        self._limits = limits

    @property
    def is_full(self) -> bool:
        """Whether one more client is one too many."""
        return len(self._connections) >= self._limits.connections

    @property
    def open_connections(self) -> int:
        """Clients connected now."""
        return len(self._connections)

    def __call__(self) -> web.RequestHandler:
        """One more client."""
        return GuardedConnection(self, self._limits, loop=self._loop)


@dataclass(frozen=True, slots=True)
class Listening:
    """A port that is open to the public."""

    host: str
    port: int
    server: PublicServer


class PublicPortTaken(PortTaken):
    """The public port cannot be listened on."""


@asynccontextmanager
async def listen(
    handler: Handler, host: str, port: int, *, limits: ConnectionLimits, reuse_port: bool, finish_seconds: float
) -> AsyncIterator[Listening]:
    """
    Take requests until the block ends; then let those under way finish.

    Args:
        port: any free one for 0.
        finish_seconds: how long requests under way have, once the block has ended.

    Raises:
        PublicPortTaken: with a sentence for the person who runs this.
    """
    server = PublicServer(handler, limits)
    metrics.CONNECTIONS.set_function(lambda: server.open_connections)
    runner = web.ServerRunner(server, shutdown_timeout=finish_seconds)
    await runner.setup()
    try:
        await _open(runner, host, port, reuse_port=reuse_port)
        yield Listening(host, runner.addresses[0][1], server)
    finally:
        await runner.cleanup()


async def _open(runner: web.ServerRunner, host: str, port: int, *, reuse_port: bool) -> None:
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG, reuse_port=reuse_port or None).start()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PublicPortTaken(
            f"ingest cannot listen on {host}:{port} ({reason}); set LISTEN_PORT to a free port, or end what holds it."
        ) from error
