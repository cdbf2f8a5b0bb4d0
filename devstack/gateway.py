"""
The gateway: plays the Ingress on a laptop.

It hands each request to the service that its path belongs to and hands the answer back, byte for byte and as it comes:
no buffering, no decompression, no new encoding. What it cannot hand on it answers in the services' own JSON.
"""

import errno
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import ClientConnectorError, ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

from devstack.ports import LOOPBACK, free_port
from devstack.problems import StackProblem
from devstack.routes import Route

ANSWER_SECONDS = 30.0  # well past the services' own deadlines, which answer long before
CHUNK_BYTES = 64 * 1024
PEEK_BYTES = 4096
_IDLE_SECONDS = 2.0  # shorter than any service keeps an idle connection, so none is used as it closes
_HOP_BY_HOP = frozenset(
    name.lower()
    for name in (
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Expect",
    )
)

_ADDED = ("Server", "Content-Type")  # by aiohttp, where an answer has none
Refused = Callable[[str, int, bytes, Mapping[str, str]], None]
"""Service, status, start of the answer, and the headers of the request."""


class _AsGiven(web.StreamResponse):
    """An answer with the headers that it was given and no other but `Date`, as an Ingress hands it back."""

    async def _prepare_headers(self) -> None:
        missing = [name for name in _ADDED if name not in self.headers]
        await super()._prepare_headers()
        for name in missing:
            self.headers.popall(name, None)


class _Refusal(_AsGiven, web.Response):
    """An answer of the gateway's own."""


class Gateway:
    """Forwards by ``routes``; ``port_of`` a service may change; ``on_refused`` hears of each 4xx as ``Refused``."""

    def __init__(
        self, routes: Sequence[Route], port_of: Callable[[str], int], on_refused: Refused | None = None
    ) -> None:
        self._routes = routes
        self._port_of = port_of
        self._on_refused = on_refused
        self._session: ClientSession | None = None

    @asynccontextmanager
    async def listen(self, port: int) -> AsyncIterator[str]:
        """Serve on 127.0.0.1 and, where there is IPv6, on ::1; port 0 takes a free one. Yields the gateway's URL."""
        async with _upstream_session() as self._session:
            # nothing is unpacked on the way in: what was signed and measured is what was sent
            runner = web.ServerRunner(
                web.Server(self._answer, auto_decompress=False, access_log=None), shutdown_timeout=1.0
            )
            await runner.setup()
            try:
                yield f"http://{LOOPBACK}:{await _bind(runner, port or free_port())}"
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        route = next((route for route in self._routes if route.matches(request.path)), None)
        if route is None:
            return refusal(404, "not_found", "There is nothing at this path.")
        headers = _forwarded_headers(request)
        if headers is None:
            return refusal(400, "malformed_header", "A header of this request is not text.")
        try:
            return await self._forward(request, route.service, headers)
        except ClientConnectorError:
            return refusal(503, "service_unavailable", f"{route.service} is not up; try again.", retry_seconds=1)
        except TimeoutError:
            return refusal(504, "service_timeout", f"{route.service} did not answer in time.", retry_seconds=1)
        except ClientError:
            return refusal(502, "service_lost", f"{route.service} ended before its answer did.", retry_seconds=1)

    async def _forward(self, request: web.BaseRequest, service: str, headers: CIMultiDict[str]) -> web.StreamResponse:
        if self._session is None:
            raise RuntimeError("the gateway is not listening")
        sent = self._session.request(
            request.method,
            _target(request, self._port_of(service)),
            headers=headers,
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        )
        async with sent as answer:
            return await self._hand_back(request, service, answer)

    async def _hand_back(self, request: web.BaseRequest, service: str, answer: ClientResponse) -> web.StreamResponse:
        response = _AsGiven(status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers))
        response.content_length = answer.content_length
        await response.prepare(request)
        start = b""
        try:
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                start = start or chunk[:PEEK_BYTES]
                await response.write(chunk)
            await response.write_eof()
        except (ClientError, TimeoutError):  # the status is on its way already: cut off, never end a half as a whole
            if request.transport is not None:
                request.transport.abort()
            return response
        if self._on_refused is not None and 400 <= answer.status < 500:  # noqa: PLR2004 - the class of statuses
            self._on_refused(service, answer.status, start, request.headers)
        return response


def refusal(status: int, code: str, message: str, *, retry_seconds: int | None = None) -> web.Response:
    """An error in the JSON that the services answer with."""
    headers = {} if retry_seconds is None else {"Retry-After": str(retry_seconds)}
    text = json.dumps({"error": {"code": code, "message": message}})
    return _Refusal(text=text, status=status, headers=headers, content_type="application/json")


def _upstream_session() -> ClientSession:
    return ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
        timeout=ClientTimeout(total=ANSWER_SECONDS, sock_connect=2),
        auto_decompress=False,
        skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
    )


def _target(request: web.BaseRequest, port: int) -> URL:
    raw = request.raw_path if request.raw_path.startswith("/") else request.rel_url.raw_path_qs
    return URL(f"http://{LOOPBACK}:{port}{raw}", encoded=True)


def _forwarded_headers(request: web.BaseRequest) -> CIMultiDict[str] | None:
    """The headers to hand on, or None where one holds bytes that are no text."""
    headers = _end_to_end(request.headers)
    headers.add("X-Forwarded-For", request.remote or "unknown")
    headers.add("X-Forwarded-Proto", request.scheme)
    try:
        "".join(headers.values()).encode()
    except UnicodeEncodeError:
        return None
    return headers


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if name.lower() not in _HOP_BY_HOP and name.lower() not in named
    )


async def _bind(runner: web.ServerRunner, port: int) -> int:
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
    except OSError as error:
        raise port_problem(port, error) from error
    try:
        await web.TCPSite(runner, "::1", port).start()
    except OSError as error:  # a machine without IPv6 is fine; another program answering half of `localhost` is not
        if error.errno == errno.EADDRINUSE:
            raise port_problem(port, error) from error
    return port


def port_in_use(port: int) -> StackProblem:
    """Said before anything is started."""
    return port_problem(port, OSError(errno.EADDRINUSE, ""))


def port_problem(port: int, error: OSError) -> StackProblem:
    """Why we cannot listen there, with the fix."""
    if error.errno == errno.EACCES:
        return StackProblem(f"Port {port} needs root: choose one above 1023, such as `make run PORT=3000`.")
    if error.errno == errno.EADDRINUSE:
        return StackProblem(
            f"Port {port} is taken: end what listens there, or choose another with `make run PORT={port + 1}`."
        )
    return StackProblem(f"Cannot listen on port {port}: {error.strerror or error}.")
