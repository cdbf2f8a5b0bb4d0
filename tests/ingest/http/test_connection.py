"""The public port against slow, silent, deaf and many clients, and against what is no HTTP."""

import asyncio
from unittest.mock import patch

import asyncpg
import pytest

from ingest.http.fast_path import FastPath
from tests.ingest.raw import raw, request, status
from tests.ingest.running import NOWHERE, Ingest, running
from tests.ingest.webhooks import webhook
from tests.waiting import until


async def test_a_client_that_sends_no_request_is_cut_off(database_url: str) -> None:
    """Silent, or with headers that come in drops."""
    async with running(database_url, NOWHERE, head_seconds=0.3) as ingest:
        for beginning in (b"", b"POST /api/stripe-webhook HTTP/1.1\r\nX-Slow: "):
            async with raw(ingest.port) as (reader, writer):
                writer.write(beginning)
                assert await _is_cut(reader)


async def _is_cut(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_a_slow_body_is_answered_503_in_time(database_url: str) -> None:
    """Never a hang: Stripe may try again on a better day."""
    body = webhook()
    async with running(database_url, NOWHERE, body_seconds=0.3) as ingest, raw(ingest.port) as (reader, writer):
        writer.write(request(body) + body[:10])
        assert await status(reader) == 503
        assert await _is_cut(reader)


async def test_a_client_that_reads_no_answers_is_cut_off(database_url: str) -> None:
    """
    It sends and sends; when its buffers and ours are full, it has a moment to read, then it is gone.

    The kernel holds the answers to tens of thousands of requests: seconds of work on a machine that has other work.
    """
    async with (
        running(database_url, NOWHERE, write_seconds=0.3) as ingest,
        raw(ingest.port, seconds=90) as (_, writer),
    ):
        with pytest.raises(ConnectionError):
            await _send_for_ever(writer)


async def _send_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        await writer.drain()


async def test_a_client_that_asks_first_is_invited(ingest: Ingest) -> None:
    """``Expect: 100-continue``, as curl sends for larger bodies; a refusal comes without the invitation."""
    body = webhook()
    async with raw(ingest.port) as (reader, writer):
        writer.write(request(body, "Expect: 100-continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert await status(reader) == 200
    async with raw(ingest.port) as (reader, writer):
        writer.write(request(body, "Expect: 100-continue", length=3 * 1024 * 1024))
        assert await status(reader) == 413


async def test_a_body_in_chunks_is_read_to_its_limit(ingest: Ingest) -> None:
    """Without a Content-Length the limit holds all the same."""
    body = webhook()
    head = request(body).replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    async with raw(ingest.port) as (reader, writer):
        writer.write(head + b"5\r\n" + body[:5] + b"\r\n")
        await writer.drain()
        writer.write(b"%x\r\n" % (len(body) - 5) + body[5:] + b"\r\n0\r\n\r\n")
        assert await status(reader) == 200
    async with raw(ingest.port) as (reader, writer):
        writer.write(head + (b"100000\r\n" + b"x" * 0x100000 + b"\r\n") * 3)
        assert await status(reader) == 413


JUNK = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "bad chunk": b"POST /api/stripe-webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "long header": b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"canary" * 2000 + b"\r\n\r\n",
    "many headers": b"POST / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 200 + b"\r\n",
}


async def test_what_is_no_http_gets_400_and_is_not_quoted(
    ingest: Ingest, capfd: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    """Our own JSON, the connection closed, nothing of it in a log."""
    for name, junk in JUNK.items():
        with subtests.test(name):
            async with raw(ingest.port) as (reader, writer):
                writer.write(junk)
                answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b'"error": {"code": ' in answer
            assert b"canary" not in answer
            assert "canary" not in capfd.readouterr().err


async def test_without_its_fast_path_ingest_answers_all_the_same(database_url: str, nats_url: str) -> None:
    """HTTP_FAST_PATH=false, for an incident: a whole plain webhook takes aiohttp's own loop."""
    async with running(database_url, nats_url, http_fast_path=False) as ingest:
        with patch.object(FastPath, "take", side_effect=AssertionError):
            assert (await ingest.deliver(webhook())).status == 200


async def test_an_upgrade_is_not_followed(ingest: Ingest) -> None:
    """There is nothing here but HTTP/1.1; the body is judged as any other."""
    body = webhook()
    async with raw(ingest.port) as (reader, writer):
        writer.write(request(body, "Connection: Upgrade", "Upgrade: websocket") + body)
        assert await status(reader) == 200


async def test_a_client_that_leaves_in_the_middle_is_no_error(
    ingest: Ingest, capfd: pytest.CaptureFixture[str]
) -> None:
    """Half a body, then gone; and a whole one without waiting for the answer."""
    body = webhook()
    for sent in (request(body) + body[:10], request(body) + body):
        async with raw(ingest.port) as (_, writer):
            writer.write(sent)
            await writer.drain()
    assert (await ingest.deliver(webhook())).status == 200
    assert "broke" not in capfd.readouterr().err


async def test_old_clients_and_closing_ones_are_served(ingest: Ingest) -> None:
    """HTTP/1.0, and Connection: close: answered, then closed."""
    body = webhook()
    for sent in (request(body).replace(b"HTTP/1.1", b"HTTP/1.0"), request(body, "Connection: close")):
        async with raw(ingest.port) as (reader, writer):
            writer.write(sent + body)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"Connection: close\r\n" in answer


async def test_pipelined_requests_are_answered_in_order(ingest: Ingest) -> None:
    """Ten in one packet, ten answers on one connection."""
    bodies = [webhook(f"evt_{number}") for number in range(10)]
    async with raw(ingest.port) as (reader, writer):
        writer.write(b"".join(request(body) + body for body in bodies))
        for number in range(10):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"evt_%d" % number in await reader.readuntil(b"\n")


async def test_answers_keep_the_order_of_their_requests(ingest: Ingest) -> None:
    """On one connection, whichever way each request goes: whole, refused, compressed, in pieces, to nowhere."""
    first, second, third = webhook(), webhook(), webhook()
    async with raw(ingest.port) as (reader, writer):
        whole = request(first) + first
        refused = request(second).replace(b"v1=", b"v1=0") + second
        packed = request(second, "Content-Encoding: gzip") + second
        nowhere = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        writer.write(whole + refused + packed + nowhere + whole + request(third) + third[:10])
        answers = [await status(reader) for _ in range(5)]
        writer.write(third[10:] + request(second) + second)
        answers += [await status(reader) for _ in range(2)]
    assert answers == [200, 400, 415, 404, 200, 200, 200]


async def test_a_client_that_goes_before_its_answer_is_no_error(
    ingest: Ingest, postgres: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Its webhook is recorded all the same, and the next client is served."""
    body = webhook()
    async with raw(ingest.port) as (_, writer):
        writer.write(request(body) + body)
        await writer.drain()
    await until(lambda: postgres.fetchval("SELECT count(*) = 1 FROM webhook_logs"))
    assert (await ingest.deliver(webhook())).status == 200


async def test_a_request_under_way_at_the_end_is_answered_and_its_connection_closed(database_url: str) -> None:
    """At once, while new clients are still taken in for a moment."""
    body = webhook()
    holder = await asyncpg.connect(database_url)
    try:
        async with running(database_url, NOWHERE, linger_seconds=3) as ingest, raw(ingest.port) as (reader, writer):
            async with holder.transaction():
                await holder.execute("LOCK TABLE webhook_logs IN SHARE MODE")
                writer.write(request(body) + body)
                await until(lambda: holder.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
                ingest.service.stop.set()
            assert await status(reader) == 200
            async with asyncio.timeout(1.5):
                assert await reader.read() == b""
    finally:
        await holder.close()
