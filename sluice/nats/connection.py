"""
One connection to NATS, by nats-py's public interface alone: requests and pulls over one inbox.

It lives once; the supervisor makes the next one. ``fast_connection`` is the same with a quicker way in and out.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from sluice.failures import StreamUnavailable
from sluice.nats.protocol import Request
from sluice.runtime import logs

_CONNECT_SECONDS = 5
_CLOSE_SECONDS = 1
_PULL_GRACE_SECONDS = 1.0
_NANOSECONDS = 1_000_000_000
UNSENT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes that may wait for a server that reads slowly."""
NO_MESSAGES: Final = frozenset({"404", "408"})
"""With these a server ends a pull that found nothing."""

Reply: TypeAlias = str
Status: TypeAlias = str


class Received(Protocol):
    """A message, or a status in its place, as it came."""

    @property
    def subject(self) -> str:
        """As it was published to."""

    @property
    def reply(self) -> str:
        """Where it is acknowledged."""

    @property
    def payload(self) -> bytes:
        """The body."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, decoded."""

    @property
    def status(self) -> Status:
        """Three digits; empty for a message."""


Tell: TypeAlias = Callable[[Sequence[Received | None]], None]
"""Takes the answer to each request; None where none came in time. It must not raise."""


class NoAnswer(StreamUnavailable):
    """Nothing listens there: the stream or the consumer is gone."""


class _Message(NamedTuple):
    subject: str
    reply: str
    payload: bytes
    headers: Mapping[str, str]

    @property
    def status(self) -> Status:
        return self.headers.get("Status", "")


@dataclass(slots=True, eq=False)
class _Answers:
    """Answers that have come so far to requests that were sent together."""

    messages: list[Received | None]
    missing: int
    tell: Tell
    timer: asyncio.TimerHandle | None = None

    def take(self, place: int, message: Received) -> None:
        self.messages[place] = message
        self.missing -= 1
        if not self.missing:
            self.end()

    def end(self) -> None:
        """Tell, once: all are there, time is up, or the connection is lost."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
            self.tell(self.messages)


class Connection:
    """
    A NATS client that never reconnects: when it is lost, so is this object, and nothing is buffered or revived.

    nats-py's own reconnection buffers what is published, stops for good on several errors and can hang in
    callbacks; with ``allow_reconnect=False`` none of that code runs. Nor do its ``publish_async``, whose futures never
    time out, and its ``fetch``, which loses messages when it is cancelled.
    """

    def __init__(self) -> None:
        self._client = Client()
        self._inbox = ""
        self._tokens = itertools.count()
        self._loop = asyncio.get_running_loop()
        self._answers: dict[str, tuple[_Answers, int]] = {}
        self._messages: deque[Received] = deque()
        self._pull: tuple[str, int, asyncio.Future[Status]] | None = None
        self._unsent: deque[tuple[Request, Reply]] = deque()
        self._has_unsent = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self.closed = asyncio.Event()

    @property
    def is_alive(self) -> bool:
        """The client believes in its connection."""
        return self._client.is_connected and not self.closed.is_set()

    @property
    def max_payload(self) -> int:
        """The largest message, headers included, that the server takes; in bytes."""
        return int(self._client.max_payload)

    async def connect(self, servers: list[str], name: str) -> None:
        """Connect, or raise what stood in the way."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            await self._client.connect(
                servers,
                name=name,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=2,
                ping_interval=10,
                max_outstanding_pings=2,
                pending_size=0,
                skip_subject_validation=True,  # ``Request`` has done it
                inbox_prefix=f"_INBOX_{name}",  # so that NATS can keep one service from another's answers
                error_cb=_note_error,
                closed_cb=self._on_closed,
            )
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.*", cb=self._on_msg)
            await self._client.flush()
        self._sending = self._loop.create_task(self._send_what_comes(), name="nats_sender")

    async def ask(
        self, subject: str, payload: bytes, headers: Mapping[str, str] | None, within_seconds: float
    ) -> bytes:
        """
        Send a request and return the payload of its answer.

        Raises:
            NoAnswer: nothing listens on that subject.
            StreamUnavailable: the connection was lost, or no answer came in that time; the request may have arrived.
        """
        answers: asyncio.Future[Sequence[Received | None]] = self._loop.create_future()

        def tell(messages: Sequence[Received | None]) -> None:
            if not answers.done():
                answers.set_result(messages)

        self.send([Request.of(subject, payload, headers)], within_seconds, tell)
        (answer,) = await answers
        return checked(answer, within_seconds)

    def send(self, requests: Sequence[Request], within_seconds: float, tell: Tell) -> None:
        """
        Send requests together, and return at once; ``tell`` takes the answers.

        Raises:
            StreamUnavailable: the connection was lost before, and nothing was sent.
        """
        if not requests:
            tell(())
            return
        tokens = [str(next(self._tokens)) for _ in requests]
        prefix = f"{self._inbox}."
        self._write([(request, prefix + token) for request, token in zip(requests, tokens, strict=True)])
        answers = _Answers([None] * len(requests), len(requests), tell)
        answers.timer = self._loop.call_later(within_seconds, self._give_up, answers, tokens)
        self._answers.update([(token, (answers, place)) for place, token in enumerate(tokens)])

    def _give_up(self, answers: _Answers, tokens: Sequence[str]) -> None:
        for token in tokens:
            self._answers.pop(token, None)
        answers.end()

    async def pull(self, subject: str, batch: int, within_seconds: float) -> tuple[list[Received], Status | None]:
        """
        Up to ``batch`` messages as soon as there is one; and the status that ended the request, if one did.

        One pull at a time. A message that comes for a pull that was given up is kept for the next one.
        """
        if not self._messages:
            status = await self._request_messages(subject, batch, within_seconds)
        else:
            status = None
        taken = [self._messages.popleft() for _ in range(min(batch, len(self._messages)))]
        return taken, status

    async def _request_messages(self, subject: str, batch: int, within_seconds: float) -> Status | None:
        token = str(next(self._tokens))
        done: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._pull = (token, batch, done)
        request = {"batch": batch, "expires": int(within_seconds * _NANOSECONDS), "no_wait": True}
        try:
            async with asyncio.timeout(within_seconds + _PULL_GRACE_SECONDS):
                self._write([(Request.of(subject, orjson.dumps(request)), f"{self._inbox}.{token}")])
                return await done
        except TimeoutError:
            return None if self._messages else "silence"
        finally:
            self._pull = None

    def acknowledge(self, replies: Sequence[Reply], word: bytes) -> None:
        """Send a word to each of these, which the server named; raises StreamUnavailable on a lost connection."""
        self._write([(Request(reply, {}, b"", word), "") for reply in replies])

    async def close(self) -> None:
        """End the connection, within a second; what was sent before is flushed if the peer takes it."""
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._send_unsent()
                await self._client.close()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])
        await self._on_closed()

    def _write(self, requests: Iterable[tuple[Request, Reply]]) -> None:
        """
        Leave requests to the task that sends.

        Raises:
            StreamUnavailable: the connection is lost, or its server takes nothing.
        """
        self._check_alive()
        if self._client.pending_data_size > UNSENT_BYTES_MAX:
            raise StreamUnavailable("NATS takes nothing off us")
        self._unsent.extend(requests)
        self._has_unsent.set()

    def _check_alive(self) -> None:
        if not self.is_alive:
            raise StreamUnavailable("the connection to NATS is lost")

    async def _send_what_comes(self) -> None:
        """Send until cancelled; what cannot be sent ends the connection."""
        try:
            while True:
                await self._has_unsent.wait()
                self._has_unsent.clear()
                await self._send_unsent()
        except Exception as error:  # noqa: BLE001  nats-py says no more than that it is closed
            await _note_error(error)
            await self._on_closed()

    async def _send_unsent(self) -> None:
        while self._unsent:
            request, reply = self._unsent.popleft()
            await self._client.publish(request.subject, request.payload, reply, dict(request.headers) or None)

    async def _on_msg(self, message: Msg) -> None:
        self._on_message(_Message(message.subject, message.reply, message.data, message.headers or {}))

    def _on_message(self, message: Received) -> None:
        head, _, token = message.subject.rpartition(".")
        if head != self._inbox:
            self._take(message)
        elif (waiting := self._answers.pop(token, None)) is not None:
            answers, place = waiting
            answers.take(place, message)
        elif self._pull is not None and self._pull[0] == token:
            self._end_pull(message.status)

    def _take(self, message: Received) -> None:
        self._messages.append(message)
        if self._pull is not None and len(self._messages) >= self._pull[1]:
            self._end_pull("")

    def _end_pull(self, status: Status) -> None:
        if self._pull is not None and not self._pull[2].done():
            self._pull[2].set_result(status)

    async def _on_closed(self) -> None:
        """End every wait for an answer; never raises."""
        self.closed.set()
        unanswered = list(self._answers.values())
        self._answers.clear()
        for answers, _ in unanswered:
            answers.end()
        self._end_pull("lost")


def checked(answer: Received | None, within_seconds: float) -> bytes:
    """
    The payload of an answer.

    Raises:
        NoAnswer: nothing listens on that subject.
        StreamUnavailable: no answer came.
    """
    if answer is None:
        raise StreamUnavailable(f"no answer from NATS within {within_seconds:g} s")
    if answer.status == "503":
        raise NoAnswer
    return answer.payload


async def _note_error(error: Exception) -> None:
    logs.get_logger().debug("nats_error", error=type(error).__name__)
