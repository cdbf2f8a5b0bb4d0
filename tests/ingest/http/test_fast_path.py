"""Both ways from a request to its answer say the same, byte for byte but for the date."""

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.auth.authenticate import Authenticator
from ingest.auth.refusals import Refusals
from ingest.auth.tenant_secrets import Tenants
from ingest.errors import NotRecorded, TooMuchAtOnce, UnknownOrganiser
from ingest.http.body import BodyLimits, BodyReader
from ingest.http.connection import ConnectionLimits
from ingest.http.endpoint import PLATFORM_PATH, SIGNATURE, Receiver
from ingest.http.fast_path import FastPath
from ingest.http.server import PublicServer
from ingest.journal.journal import Journal
from ingest.journal.receipt import ALREADY_RECORDED, RECORDED, Receipt, ReceiptSink
from ingest.tenant_limits import CpuShare, InFlight
from sluice.contract.event import StripeEvent
from sluice.failures import DatabaseUnavailable
from tests.ingest.raw import request
from tests.ingest.webhooks import OTHER_SECRET, SECRET, signed, webhook

_BODY_BYTES = 4_000
_MANY = 200
_SETTLED_TURNS = 50
_PATIENCE_SECONDS = 10
_DATE = re.compile(rb"\r\nDate: [^\r]+\r\n")


class _Journal:
    """Holds webhooks in memory; an event's id may ask for a failure."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def enter(self, event: StripeEvent, verified_by: str, receipt: ReceiptSink) -> None:
        del verified_by
        event_id = event.stripe_event_id
        if event_id == "evt_full":
            raise TooMuchAtOnce
        answer: Callable[[], object]
        if event_id in _FAILURES:
            answer = lambda: receipt.set_exception(_FAILURES[event_id])  # noqa: E731
        else:
            outcome: Receipt = ALREADY_RECORDED if event_id in self._known else RECORDED
            self._known.add(event_id)
            answer = lambda: receipt.set_result(outcome)  # noqa: E731
        asyncio.get_running_loop().call_soon(answer)

    async def record(self, event: StripeEvent, verified_by: str) -> Receipt:
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.enter(event, verified_by, receipt)
        return await receipt


_FAILURES = {"evt_away": DatabaseUnavailable(), "evt_refused": NotRecorded(), "evt_broken": RuntimeError("ours")}


class _Nobody:
    """No organisers, and nothing to say of what is refused."""

    def known(self, asked: str) -> None:
        del asked

    async def secrets(self, asked: str) -> None:
        del asked
        raise UnknownOrganiser

    def unverified(self, *_: object) -> None: ...

    def unverified_of(self, *_: object) -> None: ...

    def malformed(self, *_: object, **__: object) -> None: ...


class _Transport(asyncio.Transport):
    """A client that reads all answers at once."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 4)})
        self._protocol = protocol
        self._reads = asyncio.Event()
        self._reads.set()
        self.answers = b""
        self.closed = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.answers += bytes(data)

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            self._reads.set()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        self._reads.clear()

    def resume_reading(self) -> None:
        self._reads.set()

    async def feed(self, data: bytes) -> None:
        await self._reads.wait()
        if not self.closed.is_set():
            self._protocol.data_received(data)


class _Counted(FastPath):
    """The fast path, and how many requests it took."""

    taken = 0

    def take(self, *args: Any) -> None:
        self.taken += 1
        super().take(*args)


class _Ingest:
    """Ingest's public port, from a connection's bytes to the journal; ``is_fast`` False: without the fast path."""

    def __init__(self, *, is_fast: bool) -> None:
        journal = cast("Journal", _Journal())
        nobody: Any = _Nobody()
        authenticator = Authenticator(
            secrets=lambda: (SECRET,),
            secrets_afresh=lambda: (SECRET,),
            tenants=cast("Tenants", nobody),
            refusals=cast("Refusals", nobody),
        )
        bodies = BodyReader(BodyLimits(body_bytes=_BODY_BYTES))
        receiver = Receiver(
            authenticator=authenticator,
            journal=journal,
            bodies=bodies,
            tenants=cast("Tenants", nobody),
            in_flight=InFlight(requests=100, body_bytes=10**6, cpu=CpuShare()),
        )
        self.fast_path = _Counted(authenticator=authenticator, journal=journal, bodies=bodies) if is_fast else None
        self._server = PublicServer(receiver, self.fast_path, ConnectionLimits(), is_draining=lambda: False)

    async def answers(self, pieces: Sequence[bytes], *, waits: bool) -> bytes:
        """
        All that one client is answered that sends these pieces, and then leaves.

        Args:
            waits: before each piece, for what it is answered until then; else it sends all before any answer.
        """
        connection = self._server()
        transport = _Transport(connection)
        connection.connection_made(transport)
        await _turn(2)  # aiohttp's loop begins to wait for a request; no data comes before that
        async with asyncio.timeout(_PATIENCE_SECONDS):
            for piece in pieces:
                await transport.feed(piece)
                if waits:
                    await _settled(transport)
            await _settled(transport)
        transport.close()
        await _turn(_SETTLED_TURNS)
        return _DATE.sub(b"\r\nDate: now\r\n", transport.answers)


async def _settled(transport: _Transport) -> None:
    """Return once the connection is closed, or so many turns have brought nothing more."""
    before = b""
    while not transport.closed.is_set():
        await _turn(_SETTLED_TURNS)
        if transport.answers == before:
            return
        before = transport.answers


async def _turn(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def _both(pieces: Sequence[bytes], *, waits: bool = False) -> tuple[bytes, bytes, int]:
    """The answers of each way, and how many requests the fast one took."""

    async def run() -> tuple[bytes, bytes, int]:
        fast, plain = _Ingest(is_fast=True), _Ingest(is_fast=False)
        assert fast.fast_path is not None
        answers = await fast.answers(pieces, waits=waits), await plain.answers(pieces, waits=waits)
        return *answers, fast.fast_path.taken

    return asyncio.run(run())


def _post(body: bytes, *lines: str) -> bytes:
    return request(body, *lines) + body


def _chunked(body: bytes) -> bytes:
    head = request(body).replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    return head + b"5\r\n" + body[:5] + b"\r\n%x\r\n" % (len(body) - 5) + body[5:] + b"\r\n0\r\n\r\n"


def _without(head: bytes, name: bytes) -> bytes:
    return re.sub(rb"\r\n%b:[^\r]*" % name, b"", head)


_BODY = webhook("evt_one")
_STALE = signed(_BODY, at=time.time() - 4_000)[SIGNATURE].encode()
_SIGNATURE = re.compile(rb"t=[^\r]+")
PLAIN = {
    "plain": _post(_BODY),
    "another": _post(webhook("evt_two")),
    "postgresql away": _post(webhook("evt_away")),
    "refused by postgresql": _post(webhook("evt_refused")),
    "our own fault": _post(webhook("evt_broken")),
    "too much at once": _post(webhook("evt_full")),
    "no event": _post(b"[]"),
    "no json": _post(b"\xff{"),
    "no id": _post(webhook(None, id=7)),
    "an empty body": _post(b""),
    "too large": _post(webhook("evt_large", padding="x" * _BODY_BYTES)),
    "another's signature": request(_BODY, secret=OTHER_SECRET) + _BODY,
    "no signature": _without(request(_BODY), b"Stripe-Signature") + _BODY,
    "two signatures": _post(_BODY, "Stripe-Signature: t=1,v1=00"),
    "a stale signature": _SIGNATURE.sub(_STALE, request(_BODY)) + _BODY,
    "no content type": _without(request(_BODY), b"Content-Type") + _BODY,
    "names in lower case": re.sub(rb"\r\n[\w-]+:", lambda name: name[0].lower(), request(_BODY)) + _BODY,
    "an empty line first": b"\r\n" + _post(_BODY),
    "a query": request(_BODY, path=f"{PLATFORM_PATH}?a=1") + _BODY,
    "a whole address": request(_BODY, path=f"http://localhost{PLATFORM_PATH}") + _BODY,
    "another spelling": request(_BODY, path="/api/%73tripe-webhook") + _BODY,
    "a slash too many": request(_BODY, path=f"{PLATFORM_PATH}/") + _BODY,
    "an organiser": request(_BODY, path=f"{PLATFORM_PATH}/nobody") + _BODY,
    "elsewhere": request(_BODY, path="/api/other") + _BODY,
    "get": _post(_BODY).replace(b"POST", b"GET", 1),
    "put": _post(_BODY).replace(b"POST", b"PUT", 1),
    "head": b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % PLATFORM_PATH.encode(),
    "chunked": _chunked(_BODY),
    "chunked and too large": _chunked(webhook("evt_large", padding="x" * _BODY_BYTES)),
    "compressed": _post(_BODY, "Content-Encoding: gzip"),
    "identity": _post(_BODY, "Content-Encoding: identity"),
    "a form": _post(_BODY).replace(b"application/json", b"text/plain"),
    "invited": _post(_BODY, "Expect: 100-continue"),
    "kept alive": _post(_BODY, "Connection: keep-alive"),
    "an upgrade": _post(_BODY, "Connection: Upgrade", "Upgrade: websocket"),
}
"""Requests after which the next one may follow."""
LAST = {
    "no host": _without(request(_BODY), b"Host") + _BODY,
    "closing": _post(_BODY, "Connection: close"),
    "http 1.0": _post(_BODY).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "http 1.0, kept alive": _post(_BODY, "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "http 2.0": _post(_BODY).replace(b"HTTP/1.1", b"HTTP/2.0", 1),
    "half a head": request(_BODY)[:100],
    "half a body": _post(_BODY)[:-10],
    "a head alone": request(_BODY),
    "invited, and silent": request(_BODY, "Expect: 100-continue"),
    "announced as too large": request(_BODY, length=_BODY_BYTES + 1),
    "no length": _without(request(_BODY), b"Content-Length") + _BODY,
    "two lengths": _post(_BODY, f"Content-Length: {len(_BODY)}"),
    "two other lengths": _post(_BODY, "Content-Length: 1"),
    "a negative length": request(_BODY, length=-1) + _BODY,
    "length and chunks": _post(_BODY, "Transfer-Encoding: chunked"),
    "a bad chunk": request(_BODY).replace(b"Content-Length: %d" % len(_BODY), b"Transfer-Encoding: chunked")
    + b"zz\r\n",
    "a folded header": _post(_BODY, "X-Folded: a", " b"),
    "a bad header name": _post(_BODY, "X Bad: 1"),
    "a long header": _post(_BODY, "X-Long: " + "x" * 9_000),
    "many headers": _post(_BODY, *["X-Many: 1"] * 100),
    "a zero in a header": _post(_BODY, "X-Zero: \0"),
    "line feeds alone": request(_BODY).replace(b"\r\n", b"\n") + _BODY,
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no method": b"{}\r\n\r\n",
}
"""Requests that end the connection, or never end themselves."""
ALL = {**PLAIN, **LAST}


@pytest.mark.parametrize("name", ALL)
def test_both_ways_answer_a_request_alike(name: str) -> None:
    """Alone on its connection, and in one piece."""
    fast, plain, _ = _both([ALL[name]])
    assert fast == plain


@pytest.mark.parametrize("name", ALL)
def test_both_ways_answer_what_surrounds_a_request_alike(name: str) -> None:
    """A plain one before it, itself, and a repeat behind it, pipelined in one piece."""
    fast, plain, _ = _both([PLAIN["plain"] + ALL[name] + PLAIN["plain"]])
    assert fast == plain


def test_both_ways_answer_a_request_alike_wherever_it_is_cut() -> None:
    """The second piece brings another request with it."""
    wire = PLAIN["plain"] + PLAIN["another"]
    for cut in range(1, len(PLAIN["plain"])):
        fast, plain, _ = _both([wire[:cut], wire[cut:]], waits=True)
        assert fast == plain, cut
        assert fast.count(b"HTTP/1.1 200 OK\r\n") == 2


@pytest.mark.parametrize("together", [1, 10, _MANY])
def test_both_ways_answer_every_one_of_many_requests(together: int) -> None:
    """More than aiohttp's parser holds unread, one after the other or so many in one piece."""
    fast, plain, taken = _both([PLAIN["plain"] * together] * (_MANY // together), waits=True)
    assert fast == plain
    assert fast.count(b"HTTP/1.1 200 OK\r\n") == _MANY
    assert (taken == _MANY) == (together < _MANY)


@settings(deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(PLAIN)), max_size=8),
    last=st.sampled_from(sorted(ALL)),
    cuts=st.lists(st.integers(0, 8_000), max_size=12),
    waits=st.booleans(),
)
def test_both_ways_answer_any_sequence_of_requests_alike(
    names: list[str], last: str, cuts: list[int], waits: bool
) -> None:
    """However they are cut into pieces, answered piece by piece or all together."""
    wire = b"".join(PLAIN[name] for name in names) + ALL[last]
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    pieces = [wire[begin:end] for begin, end in itertools.pairwise(places) if end > begin]
    fast, plain, _ = _both(pieces, waits=waits)
    assert fast == plain


@pytest.mark.parametrize(
    ("name", "taken"), [("plain", 1), ("another's signature", 1), ("chunked", 1), ("half a body", 0), ("get", 0)]
)
def test_only_a_whole_plain_webhook_takes_the_fast_path(name: str, taken: int) -> None:
    """Else this file compares one way with itself."""
    assert _both([ALL[name]])[2] == taken
