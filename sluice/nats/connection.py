"""One connection to NATS: requests and pulls over one inbox. It lives once; the supervisor makes the next one."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from sluice.failures import StreamUnavailable
from sluice.nats.protocol import Message, Request, begins_with_message, take_messages
from sluice.runtime import logs

_CONNECT_SECONDS = 5
_CLOSE_SECONDS = 1
_PULL_GRACE_SECONDS = 1.0
_NANOSECONDS = 1_000_000_000
_UNSENT_BYTES_MAX = 8 * 1024 * 1024

__all__ = ["NO_MESSAGES", "Link", "Message", "NoAnswer", "checked"]

NO_MESSAGES: Final = frozenset({"404", "408"})
Status: TypeAlias = str
Tell: TypeAlias = Callable[[Sequence[Message | None]], None]
"""Takes the answer to each request; None where none came in time. It must not raise."""


class NoAnswer(StreamUnavailable):
    """Nobody listens there: the stream or the consumer is gone."""


@dataclass(slots=True, eq=False)
class _Answers:
    """What has come so far in answer to requests that were sent together."""

    messages: list[Message | None]
    missing: int
    tell: Tell
    timer: asyncio.TimerHandle | None = None

    def take(self, place: int, message: Message) -> None:
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


class _Reader(Parser):
    """
    nats-py's reader of what the server sends, with a shorter way for messages.

    Theirs costs a queue and a task's turn for each. What is no message (a ping, an error, the server's news) is theirs.
    """

    def __init__(self, client: Client, take: Callable[[Message], None]) -> None:
        super().__init__(client)
        self._take = take

    async def parse(self, data: bytes = b"") -> None:
        """Take what came."""
        self.buf.extend(data)
        while self.buf:
            try:
                messages = take_messages(self.buf)
            except ValueError as error:
                raise ProtocolError from error
            for message in messages:
                self._take(message)
            if begins_with_message(self.buf) or b"\r\n" not in self.buf:
                return  # the rest of it is still on its way
            await self._parse_line()

    async def _parse_line(self) -> None:
        line, _, rest = self.buf.partition(b"\r\n")
        self.buf = line + b"\r\n"
        await super().parse()
        self.buf.extend(rest)


class Link:
    """
    A NATS client that never reconnects: when it is lost, so is this object, and nothing is buffered or revived.

    nats-py's own reconnection buffers what is published, stops for good on several errors and can hang in
    callbacks; with ``allow_reconnect=False`` none of that code runs.
    """

    def __init__(self) -> None:
        self._client = Client()
        self._client._ps = _Reader(self._client, self._on_message)  # noqa: SLF001  it has no other place for a reader
        self._inbox = ""
        self._tokens = itertools.count()
        self._loop = asyncio.get_running_loop()
        self._answers: dict[str, tuple[_Answers, int]] = {}
        self._messages: deque[Message] = deque()
        self._pull: tuple[str, int, asyncio.Future[Status]] | None = None
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
                inbox_prefix=f"_INBOX_{name}",  # so that NATS can keep one service from another's answers
                error_cb=_note_error,
                closed_cb=self._on_closed,
            )
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.*", cb=_never)
            await self._client.flush()  # what we write does not wait for what nats-py has yet to send

    async def ask(
        self, subject: str, payload: bytes, headers: Mapping[str, str] | None, within_seconds: float
    ) -> bytes:
        """
        Send a request and return the payload of its answer.

        Raises:
            NoAnswer: nobody listens on that subject.
            StreamUnavailable: the connection was lost, or no answer came in that time; the request may have arrived.
        """
        answers: asyncio.Future[Sequence[Message | None]] = self._loop.create_future()

        def tell(messages: Sequence[Message | None]) -> None:
            if not answers.done():
                answers.set_result(messages)

        self.send([Request.of(subject, payload, headers)], within_seconds, tell)
        (answer,) = await answers
        return checked(answer, within_seconds)

    def send(self, requests: Sequence[Request], within_seconds: float, tell: Tell) -> None:
        """
        Send requests in one piece, and return at once; ``tell`` takes the answers.

        Raises:
            StreamUnavailable: the connection was lost before, and nothing was sent.
        """
        if not requests:
            tell(())
            return
        tokens = [str(next(self._tokens)) for _ in requests]
        prefix = f"{self._inbox}."
        frames = [
            request.to_bytes(f"{prefix}{token}".encode()) for request, token in zip(requests, tokens, strict=True)
        ]
        self._write(b"".join(frames))
        answers = _Answers([None] * len(requests), len(requests), tell)
        answers.timer = self._loop.call_later(within_seconds, self._give_up, answers, tokens)
        self._answers.update([(token, (answers, place)) for place, token in enumerate(tokens)])

    def _give_up(self, answers: _Answers, tokens: Sequence[str]) -> None:
        for token in tokens:
            self._answers.pop(token, None)
        answers.end()

    async def pull(self, subject: str, batch: int, within_seconds: float) -> tuple[list[Message], Status | None]:
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
                self._write(Request.of(subject, orjson.dumps(request)).to_bytes(self._reply(token)))
                return await done
        except TimeoutError:
            return None if self._messages else "silence"
        finally:
            self._pull = None

    def say(self, subjects: Sequence[str], payload: bytes) -> None:
        """Send the same to each of these, which the server named; raises StreamUnavailable on a lost connection."""
        self._write(b"".join([Request(subject.encode(), b"", payload).to_bytes() for subject in subjects]))

    async def close(self) -> None:
        """End the connection, within a second; what was sent before is flushed if the peer takes it."""
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._client.close()
        await self._on_closed()

    def _write(self, frames: bytes) -> None:
        """
        Send whole frames, now.

        Not by nats-py's buffer, which a task of its own empties a turn later; what that one sends (pings) is whole
        frames, too.
        """
        if not self.is_alive:
            raise StreamUnavailable("the connection to NATS is lost")
        writer: asyncio.StreamWriter | None = getattr(self._client._transport, "_io_writer", None)  # noqa: SLF001
        if writer is None:
            raise StreamUnavailable("the connection to NATS is closing")
        if writer.transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
            raise StreamUnavailable("NATS takes nothing off us")
        writer.write(frames)

    def _reply(self, token: str) -> bytes:
        return f"{self._inbox}.{token}".encode()

    def _on_message(self, message: Message) -> None:
        head, _, token = message.subject.rpartition(".")
        if head != self._inbox:
            self._take(message)
        elif (waiting := self._answers.pop(token, None)) is not None:
            answers, place = waiting
            answers.take(place, message)
        elif self._pull is not None and self._pull[0] == token:
            self._end_pull(message.status)

    def _take(self, message: Message) -> None:
        self._messages.append(message)
        if self._pull is not None and len(self._messages) >= self._pull[1]:
            self._end_pull("")

    def _end_pull(self, status: Status) -> None:
        if self._pull is not None and not self._pull[2].done():
            self._pull[2].set_result(status)

    async def _on_closed(self) -> None:
        """Let nobody wait any longer for an answer; never raises."""
        self.closed.set()
        unanswered = list(self._answers.values())
        self._answers.clear()
        for answers, _ in unanswered:
            answers.end()
        self._end_pull("lost")


def checked(answer: Message | None, within_seconds: float) -> bytes:
    """
    The payload of an answer.

    Raises:
        NoAnswer: nobody listens on that subject.
        StreamUnavailable: no answer came.
    """
    if answer is None:
        raise StreamUnavailable(f"no answer from NATS within {within_seconds:g} s")
    if answer.status == "503":
        raise NoAnswer
    return answer.payload


async def _never(message: Msg) -> None:
    """Our reader takes all messages before nats-py sees them."""
    logs.get_logger().error("nats_message_astray", subject=message.subject)


async def _note_error(error: Exception) -> None:
    logs.get_logger().debug("nats_error", error=type(error).__name__)
