"""
One client's connection: aiohttp's low-level server, with what it leaves out.

A request that the fast path takes is answered from there; for all others aiohttp's own loop makes a task, as for
any server. Answers keep the order of their requests: while the fast path has one of a connection, the next waits.

aiohttp has no limit on connections, none on the time to a first request, and none on the time that a client leaves its
answers unread; and its own error pages quote the request. Here a client that is silent or deaf is cut off, and idle
connections are closed when a newcomer needs their room. A client that leaves, at whatever moment, is counted, no more.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage

from ingest import metrics
from ingest.errors import BadRequest, TooMuchAtOnce
from ingest.http.fast_path import FastPath
from ingest.http.idle_connections import Wait, address_of
from ingest.http.responses import Answer, Response, refusal
from ingest.rate_limited_log import RATE_LIMITED_LOG
from sluice.failures import Defect

_LINGER_SECONDS = 2.0
_LINE_BYTES = 8190
_HEADERS = 64
_OF_CLIENTS = (OSError, HttpProcessingError, web.RequestPayloadError)
"""A client that left, or that sent what is no HTTP."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on one client."""

    connections: int = 2_000
    head_seconds: float = 10
    """From connecting to the end of the first request's headers."""
    keepalive_seconds: float = 75
    """Between two requests; it covers headers that come in drops, too."""
    write_seconds: float = 5
    """How long a client may leave more answers unread than its and our buffers hold."""


class Host(Protocol):
    """The server of ``web`` that takes clients in, as a connection sees it."""

    fast_path: FastPath | None
    is_draining: Callable[[], bool]

    @property
    def is_full(self) -> bool:
        """Whether one more client is one too many."""

    def make_room(self) -> bool:
        """Close a few connections that wait for their clients; whether a newcomer fits now."""


class GuardedConnection(web.RequestHandler):
    """One client's connection, with deadlines on its first request and on its reading."""

    __slots__ = ("_deaf", "_fast_path", "_is_on_fast_path", "_limits", "_public_server", "_silent", "address")

    def __init__(self, server: Host, limits: ConnectionLimits, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            cast("web.Server", server),
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
        self._fast_path = server.fast_path
        self._is_on_fast_path = False
        self.address = ""
        self._silent: asyncio.TimerHandle | None = None
        self._deaf: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client in, in another's place if need be, or tell it that there are too many."""
        if self._public_server.is_full and not self._public_server.make_room():
            metrics.CONNECTIONS_CUT.labels("too_many").inc()
            _turn_away(cast("asyncio.Transport", transport))
            return
        self.address = address_of(transport.get_extra_info("peername"))
        super().connection_made(transport)
        self._silent = self._loop.call_later(self._limits.head_seconds, self._cut_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the deadlines; count a client that reset the connection, or that still had an answer to come."""
        for deadline in (self._silent, self._deaf):
            if deadline is not None:
                deadline.cancel()
        if exc is not None or self._is_on_fast_path or self._request_in_progress or self._messages:
            metrics.CLIENTS_LEFT.inc()
        super().connection_lost(exc)

    async def start(self) -> None:
        """As aiohttp's; a request that is begun just as its client has gone fails there, and cannot be answered."""
        try:
            await super().start()
        except Exception as error:  # noqa: BLE001  the result of this task is not awaited
            if self._manager is not None:
                RATE_LIMITED_LOG.failed("http_connection_broke", error)
                self.force_close()

    @property
    def wait(self) -> Wait:
        """The state of this connection, for ``idle_connections``."""
        if self._paused:
            return Wait.UNFINISHED
        request = self._current_request
        if request is not None:
            return Wait.OURS if request.content.is_eof() else Wait.UNFINISHED
        if self._is_on_fast_path or self._request_in_progress or self._messages:
            return Wait.OURS
        return Wait.IDLE

    @property
    def waits_since(self) -> float:
        """When its last request began or ended, in the loop's time."""
        return self._next_keepalive_close_time - self._limits.keepalive_seconds

    def give_way(self) -> None:
        """Leave the place to a newcomer."""
        metrics.CONNECTIONS_CUT.labels(self.wait.name.lower()).inc()
        if self.wait is Wait.UNFINISHED and not self._paused and self.transport is not None:
            _turn_away(self.transport)
        self.force_close()

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
            RATE_LIMITED_LOG.failed("request_handler_broke", exc)
            response = Response(refusal(Defect()))
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Say that something of ours broke, without what the request contained; what a client broke off is nothing."""
        del args
        error = kw.get("exc_info")
        if isinstance(error, BaseException) and not isinstance(error, _OF_CLIENTS):
            RATE_LIMITED_LOG.failed("http_connection_broke", error)

    def _begin_next(self) -> None:
        """Give the next request to the fast path, or wake aiohttp's loop for it; it sleeps only while it is idle."""
        waiter = self._waiter
        if self._is_on_fast_path or not self._messages or waiter is None or waiter.done():
            return
        head, content = self._messages[0]
        if isinstance(head, RawRequestMessage) and (fast_path := self._fast_path_for(head, content)) is not None:
            self._messages.popleft()
            self._take_fast_path(fast_path, head, content)
        else:
            self._next_keepalive_close_time = self._loop.time() + self._limits.keepalive_seconds
            waiter.set_result(None)

    def _fast_path_for(self, head: RawRequestMessage, content: StreamReader) -> FastPath | None:
        """The fast path, if it is on and may take this request now."""
        is_busy = self._paused or self._buffer_paused or self._public_server.is_draining()
        if is_busy or self._fast_path is None or not self._fast_path.may_take(head, content):
            return None
        return self._fast_path

    def _take_fast_path(self, fast_path: FastPath, head: RawRequestMessage, content: StreamReader) -> None:
        """As aiohttp's own loop does it: the parser may go on, a shutdown waits, an idle timer does not strike."""
        if self._parser is not None:
            self._parser.message_consumed()
        self._is_on_fast_path = self._request_in_progress = True
        self._next_keepalive_close_time = self._loop.time() + self._limits.keepalive_seconds
        fast_path.take(head, content, self._answer)

    def _answer(self, answer: Answer) -> None:
        """Write an answer of the fast path, if the client is still there, and go on."""
        self._is_on_fast_path = self._request_in_progress = False
        if self.transport is not None and not self.transport.is_closing():
            is_last = self._public_server.is_draining()
            self.transport.write(answer.to_bytes(keep_alive=not is_last))
            if is_last:
                self.force_close()
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if self.transport is not None and not self.transport.is_closing():  # the client may have gone
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
