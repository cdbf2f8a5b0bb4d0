"""Every way in which a client can leave: at most a throttled line, never a traceback, never a defect."""

import asyncio
import errno
import random
import socket
import struct
from collections.abc import Iterator
from typing import ClassVar

import asyncpg
import pytest

from ingest.errors import ClientGone
from ingest.http.body import BodyLimits, BodyReader
from ingest.http.responses import Answer
from tests.ingest.raw import raw, request
from tests.ingest.running import Ingest
from tests.ingest.webhooks import webhook
from tests.metrics import counted
from tests.waiting import until

NOWHERE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def pieces() -> dict[str, bytes]:
    """All that a client may have sent when it leaves."""
    body = webhook()
    whole = request(body) + body
    chunked = request(body).replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    compressed = request(body, "Content-Encoding: gzip") + body
    return {
        "nothing": b"",
        "half a head": whole[:40],
        "a head": request(body),
        "half a body": request(body) + body[:10],
        "an invitation asked for": request(body, "Expect: 100-continue"),
        "a whole webhook": whole,
        "webhooks in a row": whole * 20,
        "refusals in a row": NOWHERE * 20,
        "both by turns": (whole + NOWHERE + compressed) * 20,
        "a webhook and half another": whole + request(body) + body[:10],
        "one to be refused by its head": compressed + whole,
        "no HTTP behind a webhook": whole + b"\x16\x03\x01\r\n\r\n",
        "a bad chunk": chunked + b"zz\r\n",
    }


def reset(client: socket.socket) -> None:
    """Leave with a reset, as a process that is killed does with answers unread."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


async def leave(port: int, sent: bytes, *, after_turns: int, politely: bool) -> None:
    """Connect, send, let the server turn that often, and go."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, sent)
    for _ in range(after_turns):
        await asyncio.sleep(0)
    if politely:
        client.close()
    else:
        reset(client)


@pytest.fixture
def quiet(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing broke while the test ran, as far as logs and counters tell."""
    before = counted("webhook_requests_refused_total", code="defect")
    yield
    told = capfd.readouterr().err + caplog.text
    for word in ("broke", "Traceback", "never retrieved", "Unhandled", "socket.send() raised"):
        assert word not in told
    assert counted("webhook_requests_refused_total", code="defect") == before


@pytest.mark.usefixtures("quiet")
async def test_leaving_at_any_moment_is_no_defect(ingest: Ingest) -> None:
    """With a reset or politely, after whatever was sent, at any turn of the server's loop."""
    chosen = random.Random(7)
    left = counted("http_clients_left_total") or 0
    for sent in pieces().values():
        for after_turns in (0, 1, 2, 3, 5, 8, 13, 21, chosen.randrange(60)):
            for politely in (True, False):
                await leave(ingest.port, sent, after_turns=after_turns, politely=politely)
    await until(ingest_is_empty)
    assert (await ingest.deliver(webhook())).status == 200
    assert (counted("http_clients_left_total") or 0) > left


def ingest_is_empty() -> bool:
    """Whether only the test's own client is connected, if any."""
    return (counted("http_connections") or 0) <= 1


@pytest.mark.usefixtures("quiet")
async def test_leaving_while_the_journal_writes_is_no_defect(
    ingest: Ingest, postgres: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """With requests of both kinds behind the one that is being written; the client is gone before all answers."""
    body = webhook()
    async with postgres.transaction():
        await postgres.execute("LOCK TABLE webhook_logs IN SHARE MODE")
        for behind in (b"", NOWHERE, request(body) + body, NOWHERE * 5, request(body) + body[:5]):
            await leave(ingest.port, request(body) + body + behind, after_turns=30, politely=False)
        await until(lambda: postgres.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
    await until(ingest_is_empty)
    assert (await ingest.deliver(webhook())).status == 200


@pytest.mark.usefixtures("quiet")
async def test_a_reset_met_by_an_answer_ends_what_is_behind_it(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the first to learn of the reset; the request behind it has no connection any more."""
    connections: list[socket.socket] = []
    encode = Answer.to_bytes

    def reset_first(answer: Answer, *, keep_alive: bool, has_body: bool = True) -> bytes:
        if connections:
            reset(connections.pop())
        return encode(answer, keep_alive=keep_alive, has_body=has_body)

    monkeypatch.setattr(Answer, "to_bytes", reset_first)
    left = counted("http_clients_left_total") or 0
    for _ in range(20):
        client = socket.create_connection(("127.0.0.1", ingest.port))
        connections.append(client)
        body = webhook()
        client.sendall(request(body) + body + NOWHERE * 3)
        await until(lambda: not connections)
    await until(lambda: (counted("http_clients_left_total") or 0) >= left + 20)


@pytest.mark.parametrize("error", [TimeoutError(errno.ETIMEDOUT, "timed out"), OSError(errno.EHOSTUNREACH, "no route")])
async def test_a_network_that_breaks_in_a_body_is_a_client_that_left(error: OSError) -> None:
    """Whatever the system calls it; only our own deadline says that a body was too slow."""

    class Content:
        def is_eof(self) -> bool:
            return False

        async def readany(self) -> bytes:
            raise error

    class Request:
        content = Content()
        headers: ClassVar[dict[str, str]] = {}
        content_length = 100

    with pytest.raises(ClientGone):
        await BodyReader(BodyLimits()).read(Request())  # type: ignore[arg-type]


async def test_unread_answers_end_in_one_count(ingest: Ingest) -> None:
    """A client that goes with many answers unread is counted once."""
    left = counted("http_clients_left_total") or 0
    async with raw(ingest.port) as (_, writer):
        writer.write(NOWHERE * 1000)
        await writer.drain()
    await until(lambda: (counted("http_clients_left_total") or 0) == left + 1)
