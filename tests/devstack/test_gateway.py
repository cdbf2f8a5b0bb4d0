"""The gateway hands on what it gets, byte for byte and as it comes."""

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from devstack.gateway import Gateway
from devstack.ports import free_port
from devstack.problems import StackProblem
from devstack.routes import Route, load_routes

ROUTES = [Route("/api/hook", True, "echo"), Route("/api/exact", False, "echo")]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Upstream:
    """The service behind the gateway: records requests, answers as told."""

    answer: Answer
    paths: list[str] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def _gateway(upstream: Upstream | None) -> AsyncIterator[str]:
    """A gateway in front of this service, or of a port where nothing listens."""
    port = free_port()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        assert upstream is not None
        upstream.paths.append(request.raw_path)
        upstream.headers.extend(request.raw_headers)
        return await upstream.answer(request)  # type: ignore[arg-type]

    runner = web.ServerRunner(web.Server(handle, auto_decompress=False), shutdown_timeout=0.1)
    await runner.setup()
    if upstream is not None:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with Gateway(ROUTES, lambda _service: port).listen(0) as url:
            yield url
    finally:
        await runner.cleanup()


async def _echo(request: web.Request) -> web.StreamResponse:
    return web.Response(
        body=await request.content.read(), headers={"X-Seen": "yes", "Content-Type": "application/x-odd"}
    )


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that neither packs nor unpacks."""
    async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


@pytest.mark.parametrize(
    "body",
    [b"", b'{"a":  1}\n', bytes(range(256)) * 40, b"\xff\x00\xed\xa0\x80", b"x" * 3_000_000],
    ids=["empty", "json", "all bytes", "no text", "large"],
)
async def test_a_body_arrives_and_returns_byte_for_byte(client: aiohttp.ClientSession, body: bytes) -> None:
    """Signatures are over bytes; the gateway changes none."""
    async with _gateway(Upstream(_echo)) as url, client.post(f"{url}/api/hook", data=io.BytesIO(body)) as answer:
        assert await answer.read() == body
        assert (answer.status, answer.headers["X-Seen"]) == (200, "yes")
        assert answer.headers["Content-Type"] == "application/x-odd"


async def test_a_packed_body_stays_packed(client: aiohttp.ClientSession) -> None:
    """A body of gzip for the sender is gzip for the service, which refuses it itself."""
    packed, upstream = gzip.compress(b"{}"), Upstream(_echo)
    headers = {"Content-Encoding": "gzip", "Stripe-Signature": "t=1,v1=ab"}
    async with _gateway(upstream) as url, client.post(f"{url}/api/hook", data=packed, headers=headers) as answer:
        assert await answer.read() == packed
    assert (b"Content-Encoding", b"gzip") in upstream.headers
    assert (b"Stripe-Signature", b"t=1,v1=ab") in upstream.headers


async def test_the_path_and_the_query_arrive_as_they_were_written(client: aiohttp.ClientSession) -> None:
    """Escapes in a path are the service's to read."""
    upstream = Upstream(_echo)
    async with _gateway(upstream) as url:
        target = URL(f"{url}/api/hook/a%2Fb%20c%7e?q=%26&q=2", encoded=True)
        async with client.post(target):
            pass
    assert upstream.paths == ["/api/hook/a%2Fb%20c%7e?q=%26&q=2"]


async def test_a_request_reaches_the_service_before_it_is_complete(client: aiohttp.ClientSession) -> None:
    """A body is streamed: the service sees its first part while the rest is still to come."""
    first_seen = asyncio.Event()

    async def look(request: web.Request) -> web.StreamResponse:
        assert await request.content.readany() == b"first"
        first_seen.set()
        return web.Response(body=await request.read())

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(first_seen.wait(), 5)
        yield b"second"

    async with _gateway(Upstream(look)) as url, client.post(f"{url}/api/hook", data=body()) as answer:
        assert await answer.read() == b"second"


async def test_an_answer_reaches_the_sender_before_it_is_complete(client: aiohttp.ClientSession) -> None:
    """An answer is streamed too."""
    first_seen = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.wait_for(first_seen.wait(), 5)
        await response.write(b"second")
        return response

    async with _gateway(Upstream(drip)) as url, client.get(f"{url}/api/hook") as answer:
        assert await answer.content.readany() == b"first"
        first_seen.set()
        assert await answer.read() == b"second"


async def test_an_answer_that_comes_before_the_body_was_read_is_handed_on(client: aiohttp.ClientSession) -> None:
    """A service refuses ten megabytes without reading them, and the sender hears why."""

    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=413, text="too large")

    async with (
        _gateway(Upstream(refuse)) as url,
        client.post(f"{url}/api/hook", data=io.BytesIO(b"x" * 10_000_000)) as answer,
    ):
        assert (answer.status, await answer.text()) == (413, "too large")


async def test_an_answer_cut_short_is_not_handed_on_as_whole(client: aiohttp.ClientSession) -> None:
    """A service that dies within its answer must not look as if it had finished."""

    async def die(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with _gateway(Upstream(die)) as url:
        with pytest.raises(aiohttp.ClientError):
            async with client.get(f"{url}/api/hook") as answer:
                await answer.read()


@pytest.mark.parametrize("path", ["/", "/api/hooks", "/api/exact/below", "/livez", "/metrics", "/api"])
async def test_an_unknown_path_is_404_in_json(client: aiohttp.ClientSession, path: str) -> None:
    """Admin paths and unknown ones are not public; prefixes end at a slash."""
    async with _gateway(Upstream(_echo)) as url, client.get(f"{url}{path}") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "not_found"


async def test_a_service_that_is_down_is_503_with_retry_after(client: aiohttp.ClientSession) -> None:
    """While a service is started again its callers are told to come back."""
    async with _gateway(None) as url, client.post(f"{url}/api/hook", data=b"{}") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (await answer.json())["error"]["code"] == "service_unavailable"


async def test_a_service_that_dies_before_its_answer_is_502(client: aiohttp.ClientSession) -> None:
    """No answer is no success."""

    async def die(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with _gateway(Upstream(die)) as url, client.post(f"{url}/api/hook", data=b"{}") as answer:
        assert answer.status == 502
        assert json.loads(await answer.read())["error"]["code"] == "service_lost"


async def test_a_header_that_is_no_text_is_400() -> None:
    """Bytes that no header may hold are the sender's fault, not a 500."""
    async with _gateway(Upstream(_echo)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(b"POST /api/hook HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nStripe-Signature: \xff\xfe\r\n\r\n")
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()


async def test_it_listens_on_ipv6_too(client: aiohttp.ClientSession) -> None:
    """`localhost` may mean either."""
    async with _gateway(Upstream(_echo)) as url:
        port = url.rsplit(":", 1)[1]
        try:
            _, writer = await asyncio.open_connection("::1", int(port))
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
        writer.close()
        async with client.post(f"http://[::1]:{port}/api/hook", data=b"six") as answer:
            assert await answer.read() == b"six"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_taken_port_gets_one_sentence_with_its_fix(host: str) -> None:
    """The message tells how to go round a program that holds either half of localhost."""
    try:
        taken = await asyncio.start_server(lambda _reader, _writer: None, host, 0)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    port = taken.sockets[0].getsockname()[1]
    async with taken:
        with pytest.raises(StackProblem, match=rf"^Port {port} is taken: .* `make run PORT={port + 1}`\.$"):
            async with Gateway(ROUTES, lambda _service: 1).listen(port):
                pass


def test_the_shared_routes_send_each_path_to_its_service() -> None:
    """The file that the Ingress is made of says what is public."""
    routes = load_routes()

    def service(path: str) -> str | None:
        return next((route.service for route in routes if route.matches(path)), None)

    assert service("/api/stripe-webhook") == "ingest"
    assert service("/api/stripe-webhook/7b0c") == "ingest"
    assert service("/api/health") == "healthd"
    assert service("/api/health/x") is None
    assert service("/api/stripe-webhooks") is None


async def _answer_barely(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    writer.close()


async def test_an_answer_has_the_headers_that_the_service_gave_it(client: aiohttp.ClientSession) -> None:
    """Ingest names no server; so do neither the gateway's copies of its answers nor its own refusals."""
    async with await asyncio.start_server(_answer_barely, "127.0.0.1", 0) as service:
        port = service.sockets[0].getsockname()[1]
        async with (
            Gateway(ROUTES, lambda _service: port).listen(0) as url,
            client.get(f"{url}/api/exact") as handed_on,
            client.get(f"{url}/nowhere") as refused,
        ):
            assert handed_on.headers.keys() == {"Content-Length", "Date"}
            assert (refused.status, "Server" in refused.headers) == (404, False)
