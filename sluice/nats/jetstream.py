"""JetStream as a service sees it: publish, fetch, and a supervisor that brings back whatever was lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Self

from sluice.failures import StreamUnavailable
from sluice.nats import management as jetstream_api
from sluice.nats.broker import Published
from sluice.nats.connection import NO_MESSAGES, Connection, Received, checked
from sluice.nats.fast_connection import FastConnection
from sluice.nats.protocol import Request
from sluice.nats.publishing import Publishing
from sluice.nats.stream_upkeep import Upkeep
from sluice.nats.types import (
    ConsumerProgress,
    ConsumerSpec,
    ConsumerState,
    IncomingMessage,
    OutgoingMessage,
    StreamSpec,
    acknowledge,
    give_back,
    keep,
)
from sluice.runtime import logs, metrics
from sluice.runtime.backoff import Backoff, jitter
from sluice.runtime.endless import run_endless, tell_to_end, turn
from sluice.runtime.probes import JsonValue
from sluice.runtime.settings import NatsClient, ServiceSettings

__all__ = [
    "ConsumerProgress",
    "ConsumerSpec",
    "ConsumerState",
    "IncomingMessage",
    "JetStream",
    "OutgoingMessage",
    "Published",
    "StreamSpec",
    "acknowledge",
    "give_back",
    "keep",
]

_ENSURE_EVERY_SECONDS = 10
_ENSURE_PAUSE_SECONDS = 0.2  # doubts may come as fast as messages
_LOOK_SECONDS = 1.0
_FROZEN_SECONDS = 10.0
_API_SECONDS = 3.0
_CANCEL_AGAIN_SECONDS = 0.1
_BACKOFF = Backoff(0.1, 2, spread=jitter(0.5, 1.5))
_DEFAULT_MAX_PAYLOAD = 1024 * 1024

_CONNECTIONS: Mapping[NatsClient, Callable[[], Connection]] = {"fast": FastConnection, "public": Connection}

_CONNECTED = metrics.gauge("nats_connected", "1 while stream and consumer are known to be there.")
_GENERATION = metrics.gauge("nats_client_generation", "Clients made so far; it grows with each lost connection.")


class JetStream:
    """
    One stream, and maybe one consumer of it.

    A client that is lost is not repaired but replaced. After each connection, every ten seconds, and whenever the
    server says that something is gone, stream and consumer are made sure of. ``generation`` counts the clients.
    """

    def __init__(
        self,
        servers: Sequence[str],
        *,
        name: str,
        stream: StreamSpec,
        consumer: ConsumerSpec | None,
        make_connection: Callable[[], Connection] = FastConnection,
    ) -> None:
        """Use ``open``."""
        self._servers = list(servers)
        self._make_connection = make_connection
        self._name = name
        self._stream = stream
        self._consumer = consumer
        self._upkeep = Upkeep(stream, consumer)
        self._publishing = Publishing()
        self._connection: Connection | None = None
        self._ready = asyncio.Event()
        self._doubt = asyncio.Event()
        self._pulling = asyncio.Lock()
        self._max_payload = _DEFAULT_MAX_PAYLOAD
        self.generation = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: ServiceSettings,
        *,
        name: str,
        group: asyncio.TaskGroup,
        stream: StreamSpec,
        consumer: ConsumerSpec | None,
    ) -> AsyncIterator[Self]:
        """Return at once, connected or not; ``group`` is the parent of the supervisor, which ends with this block."""
        jetstream = cls(
            settings.nats_servers,
            name=name,
            stream=stream,
            consumer=consumer,
            make_connection=_CONNECTIONS[settings.nats_client],
        )
        supervisor = group.create_task(run_endless("jetstream", jetstream._supervise), name="jetstream_supervisor")
        try:
            yield jetstream
        finally:
            await _end(supervisor)

    @classmethod
    @asynccontextmanager
    async def open_if_any(
        cls,
        settings: ServiceSettings,
        *,
        name: str,
        group: asyncio.TaskGroup,
        stream: StreamSpec,
        consumer: ConsumerSpec | None,
    ) -> AsyncIterator[Self | None]:
        """As ``open``; None where ``NATS_URL`` is empty."""
        if not settings.nats_servers:
            yield None
            return
        async with cls.open(settings, name=name, group=group, stream=stream, consumer=consumer) as jetstream:
            yield jetstream

    @property
    def is_connected(self) -> bool:
        """Connected, with stream and consumer in place when last looked at."""
        return self._ready.is_set() and self._connection is not None and self._connection.is_alive

    @property
    def max_payload(self) -> int:
        """The largest message with its headers, in bytes, that the server takes; as it last said."""
        return self._max_payload

    async def wait_connected(self) -> None:
        """Wait until connected; the caller sets the deadline."""
        await self._ready.wait()

    def status(self) -> Mapping[str, JsonValue]:
        """For ``/status``."""
        return {
            "connected": self.is_connected,
            "generation": self.generation,
            "refuses": self.is_connected and self._publishing.is_refused,
            "settings_refused": list[JsonValue](sorted(self._upkeep.refused)),
        }

    async def publish(self, message: OutgoingMessage, *, within_seconds: float = 5) -> bool:
        """
        Store one message: True if it was stored, False if JetStream had one with its id already.

        Raises:
            StreamUnavailable: not stored as far as we know; it may be all the same, when the answer was lost.
            ValueError: larger than ``max_payload``; sending it would cost the connection.
        """
        (published,) = await self.publish_many([message], within_seconds=within_seconds)
        if isinstance(published, Exception):
            raise published
        return published

    async def publish_many(
        self, messages: Sequence[OutgoingMessage], *, within_seconds: float = 5
    ) -> Sequence[Published]:
        """
        Store messages, sent in one piece: for each what ``publish`` would have returned or raised.

        Raises:
            StreamUnavailable: none was sent.
        """
        outcomes: asyncio.Future[Sequence[Published]] = asyncio.get_running_loop().create_future()

        def tell(published: Sequence[Published]) -> None:
            if not outcomes.done():
                outcomes.set_result(published)

        self.send_many(messages, tell, within_seconds=within_seconds)
        return await outcomes

    def send_many(
        self, messages: Sequence[OutgoingMessage], tell: Callable[[Sequence[Published]], None], *, within_seconds: float
    ) -> None:
        """
        Send messages in one piece, and return at once; ``tell`` takes what ``publish_many`` would return.

        Args:
            tell: must not raise; it may be called before this returns.

        Raises:
            StreamUnavailable: none was sent.
        """
        if not self._ready.is_set():  # before the consumer is there again, it would miss the messages
            raise StreamUnavailable("not connected to NATS")
        requests = [self._request(message) for message in messages]

        def judge(answers: Sequence[Received | None]) -> None:
            rest = iter(answers)
            tell([r if isinstance(r, ValueError) else self._published(next(rest), within_seconds) for r in requests])

        self._connected().send([r for r in requests if isinstance(r, Request)], within_seconds, judge)

    def _request(self, message: OutgoingMessage) -> Request | ValueError:
        headers = {**message.headers, "Nats-Msg-Id": message.message_id, "Nats-Expected-Stream": self._stream.name}
        try:
            request = Request.of(message.subject, message.payload, headers)
        except ValueError as error:
            return error
        if request.size > self._max_payload:
            return ValueError(f"{message.message_id}: {len(message.payload)} bytes are more than NATS takes")
        return request

    def _published(self, answer: Received | None, within_seconds: float) -> Published:
        """Tell a message stored now from a duplicate; raise the server's refusal or silence as its failure."""
        try:
            is_stored = jetstream_api.is_stored(checked(answer, within_seconds))
        except StreamUnavailable as failure:
            self._publishing.failed()
            self._doubt.set()
            return failure
        self._publishing.succeeded()
        return is_stored

    async def fetch(self, batch: int, *, within_seconds: float = 1) -> Sequence[IncomingMessage]:
        """Up to ``batch`` messages as soon as there is one; after that time none, also when JetStream is away."""
        if self._consumer is None:
            raise RuntimeError("opened without a consumer")
        deadline = asyncio.get_running_loop().time() + within_seconds
        try:
            async with asyncio.timeout_at(deadline):
                await self._ready.wait()
                await self._pulling.acquire()
        except TimeoutError:
            return []
        try:
            return await self._pull(batch, self._consumer.durable, deadline)
        finally:
            self._pulling.release()

    async def consumer_state(self, durable: str, *, with_ack_floor: bool = True) -> ConsumerState:
        """
        How far a consumer of this stream is.

        Args:
            with_ack_floor: tell when the message at its ack floor was stored; that takes the right to read messages.

        Raises:
            StreamUnavailable: it is not there, or JetStream is away.
        """
        return await jetstream_api.consumer_state(self._ask, self._stream.name, durable, with_ack_floor=with_ack_floor)

    async def consumer_progress(self, durable: str, *, within_seconds: float = _API_SECONDS) -> ConsumerProgress:
        """
        How far a consumer of this stream is, in one request.

        Raises:
            StreamUnavailable: it is not there, or JetStream did not answer in that time.
        """
        ask = partial(self._ask, within_seconds=within_seconds)
        return await jetstream_api.consumer_progress(ask, self._stream.name, durable)

    async def _pull(self, batch: int, durable: str, deadline: float) -> list[IncomingMessage]:
        loop = asyncio.get_running_loop()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream.name}.{durable}"
        try:
            messages, status = await self._connected().pull(subject, batch, max(deadline - loop.time(), 0.05))
        except StreamUnavailable:
            messages, status = [], "lost"
        if status and status not in NO_MESSAGES:
            self._doubt.set()
        if not messages:
            await asyncio.sleep(max(deadline - loop.time(), 0))
        return [self._incoming(message) for message in messages]

    def _incoming(self, message: Received) -> IncomingMessage:
        deliveries, sequence, nanoseconds = _parse_reply(message.reply)
        return IncomingMessage(
            subject=message.subject,
            payload=message.payload,
            deliveries=deliveries,
            sequence=sequence,
            stored_at_nanoseconds=nanoseconds,
            _message=message,
            _acknowledge=self._acknowledge,
            _say=self._say,
        )

    def _acknowledge(self, replies: Sequence[str]) -> None:
        self._say(replies, b"+ACK")

    def _say(self, replies: Sequence[str], word: bytes) -> None:
        try:
            self._connected().acknowledge(replies, word)
        except StreamUnavailable:
            logs.get_logger().info("answers_lost", messages=len(replies))

    def _connected(self) -> Connection:
        if self._connection is None or not self._connection.is_alive:
            raise StreamUnavailable("not connected to NATS")
        return self._connection

    async def _ask(self, subject: str, payload: bytes, *, within_seconds: float = _API_SECONDS) -> bytes:
        return await self._connected().ask(subject, payload, None, within_seconds)

    async def _supervise(self) -> None:
        """Make a client, look after it, and when it is lost make the next one; for ever."""
        failures, last_reason = 0, ""
        while True:
            turn()
            before = self.generation
            try:
                await self._live_once()
                last_reason = ""
            except Exception as error:  # noqa: BLE001  whatever ended that client, the next one starts afresh
                last_reason = _tell_once(f"{type(error).__name__}: {error}", last_reason)
            failures = 0 if self.generation > before else failures + 1
            await asyncio.sleep(_BACKOFF.seconds(failures + 1))

    async def _live_once(self) -> None:
        self._connection = connection = self._make_connection()
        try:
            await connection.connect(self._servers, self._name)
            await self._ensure()
            self.generation += 1
            self._max_payload = connection.max_payload
            _GENERATION.set(self.generation)
            _CONNECTED.set(1)
            self._ready.set()
            logs.get_logger().info("nats_connected", generation=self.generation)
            await self._look_after(connection)
        finally:
            self._ready.clear()
            _CONNECTED.set(0)
            await connection.close()

    async def _look_after(self, connection: Connection) -> None:
        """Return when the connection is lost; raise when stream or consumer cannot be made sure of."""
        loop = asyncio.get_running_loop()
        ensure_at = loop.time() + _ENSURE_EVERY_SECONDS
        while True:
            turn()
            await _first_of(connection.closed, self._doubt, within_seconds=_LOOK_SECONDS)
            if not connection.is_alive:
                return
            if self._doubt.is_set() or loop.time() >= ensure_at:
                await self._ensure()
                ensure_at = loop.time() + _ENSURE_EVERY_SECONDS
                await asyncio.sleep(_ENSURE_PAUSE_SECONDS)

    async def _ensure(self) -> None:
        """Make sure of both; a stream that answers and takes no messages is frozen, and made anew."""
        self._doubt.clear()
        await self._upkeep.ensure(self._ask)
        if self._publishing.refused_seconds >= _FROZEN_SECONDS:
            self._publishing.succeeded()  # not again before it has refused for as long
            await self._upkeep.remake(self._ask)


def _tell_once(reason: str, last_reason: str) -> str:
    """An outage of an hour is one line, not one for each attempt; ``nats_connected`` shows how long it lasts."""
    if reason != last_reason:
        logs.get_logger().warning("nats_unavailable", reason=reason)
    return reason


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended: nats-py swallows a cancellation that meets it while it closes."""
    while not task.done():
        tell_to_end(task)
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_SECONDS)


async def _first_of(*events: asyncio.Event, within_seconds: float) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=within_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _parse_reply(reply: str) -> tuple[int, int, int]:
    """
    Deliveries, stream sequence and time of storage in nanoseconds.

    ``$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<nanoseconds>.<pending>``; newer servers
    put domain and account before the stream and a token at the end.
    """
    tokens = reply.split(".")
    fields = tokens[2:9] if len(tokens) == 9 else tokens[4:11]  # noqa: PLR2004
    _, _, deliveries, sequence, _, nanoseconds, _ = fields
    return int(deliveries), int(sequence), int(nanoseconds)
