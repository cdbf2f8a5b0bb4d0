"""
The public port: aiohttp's low-level server, with what it leaves out.

A request that the express lane takes is answered from there; for all others aiohttp's own loop makes a task, as for
any server. Answers keep the order of their requests: while the express lane has one of a connection, the next waits.

aiohttp has no limit on connections, none on the time to a first request, and none on the time that a client leaves its
answers unread; and its own error pages quote the request. Here a client that is silent or deaf is cut off.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import StreamReader, web
from aiohttp.http_parser import RawRequestMessage

from ingest import metrics
from ingest.answers import Answer, Response, refusal
from ingest.express import Express
from ingest.failures import BadRequest, TooMuchAtOnce
from ingest.notices import NOTICES
from sluice.chassis.listening import listen_on
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

    __slots__ = ("_deaf", "_express", "_is_on_express", "_limits", "_public_server", "_silent")

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
        self._express = server.express
        self._is_on_express = False
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

    def data_received(self, data: bytes) -> None:
        """Parse what came, and begin with it unless an earlier request is still under way."""
        waiter, self._waiter = self._waiter, None  # aiohttp's loop sleeps on until it is clear that it is wanted
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        self._begin_next()

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
            response = Response(refusal(BadRequest()))
        else:
            NOTICES.failed("request_handler_broke", exc)
            response = Response(refusal(Defect()))
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Say that something broke, without what the request contained."""
        del args
        error = kw.get("exc_info")
        if isinstance(error, BaseException):
            NOTICES.failed("http_connection_broke", error)

    def _begin_next(self) -> None:
        """Give the next request to the express lane, or wake aiohttp's loop for it; it sleeps only while it is idle."""
        waiter = self._waiter
        if self._is_on_express or not self._messages or waiter is None or waiter.done():
            return
        head, content = self._messages[0]
        if isinstance(head, RawRequestMessage) and self._may_go_express(head, content):
            self._messages.popleft()
            self._go_express(head, content)
        else:
            waiter.set_result(None)

    def _may_go_express(self, head: RawRequestMessage, content: StreamReader) -> bool:
        is_busy = self._paused or self._buffer_paused or self._public_server.is_draining()
        return not is_busy and self._express.may_take(head, content)

    def _go_express(self, head: RawRequestMessage, content: StreamReader) -> None:
        """As aiohttp's own loop does it: the parser may go on, a shutdown waits, an idle timer does not strike."""
        if self._parser is not None:
            self._parser.message_consumed()
        self._is_on_express = self._request_in_progress = True
        self._next_keepalive_close_time = self._loop.time() + self._limits.keepalive_seconds
        self._express.take(head, content, self._answer)

    def _answer(self, answer: Answer) -> None:
        """Write an answer of the express lane, if anybody is there to read it, and go on."""
        self._is_on_express = self._request_in_progress = False
        if self.transport is not None:
            is_last = self._public_server.is_draining()
            self.transport.write(answer.to_bytes(keep_alive=not is_last))
            if is_last:
                self.force_close()
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        self._begin_next()

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
    """
    Makes a guarded connection for each client.

    Args:
        is_draining: whether we are about to end; connections are then closed after their answer.
    """

    def __init__(
        self, handler: Handler, express: Express, limits: ConnectionLimits, *, is_draining: Callable[[], bool]
    ) -> None:
        super().__init__(handler)
        self.express = express
        self.is_draining = is_draining
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
    server: PublicServer, host: str, port: int, *, reuse_port: bool, finish_seconds: float
) -> AsyncIterator[Listening]:
    """
    Take requests until the block ends; then let those under way finish.

    Args:
        port: any free one for 0.
        finish_seconds: how long requests under way have, once the block has ended.

    Raises:
        PublicPortTaken: with a sentence for the person who runs this.
    """
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
        await listen_on(runner, host, port, backlog=_BACKLOG, reuse_port=reuse_port)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PublicPortTaken(
            f"ingest cannot listen on {host}:{port} ({reason}); set LISTEN_PORT to a free port, or end what holds it."
        ) from error
