"""Types of the services' talk with the stream, in words of our own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

HOUR = 3600


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """
    A stream as we want it: on disk, old messages discarded first.

    ``max_bytes`` is reserved on the server's disk. ``replicas`` None leaves the number to NATS' operator. A stream
    that is not ours (``is_ours`` False) is only looked at, never created or changed.
    """

    name: str
    subjects: Sequence[str]
    max_age_seconds: float = 72 * HOUR
    max_bytes: int = 1024**3
    duplicate_window_seconds: float = 120
    replicas: int | None = None
    is_ours: bool = True


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """A durable pull consumer that never gives up; one created anew starts at new messages."""

    durable: str
    ack_wait_seconds: float = 30
    max_ack_pending: int = 2_000


class OutgoingMessage(NamedTuple):
    """A message to be stored; ``message_id`` is what JetStream knows a duplicate by."""

    subject: str
    message_id: str
    payload: bytes
    headers: Mapping[str, str]


class _AsItCame(Protocol):
    @property
    def reply(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


def _say_nothing(replies: Sequence[str], word: bytes) -> None:
    """A message that no broker carried is not redelivered."""
    del replies, word


@dataclass(frozen=True, slots=True, eq=False)
class IncomingMessage:
    """A message that we hold until ``ack_wait`` passes; ``deliveries`` is 1 the first time."""

    subject: str
    payload: bytes
    deliveries: int
    sequence: int
    stored_at_nanoseconds: int
    _message: _AsItCame
    _acknowledge: Callable[[Sequence[str]], None]
    _say: Callable[[Sequence[str], bytes], None] = _say_nothing

    @property
    def stored_at(self) -> datetime:
        """When JetStream stored it, by the server's clock."""
        return datetime.fromtimestamp(self.stored_at_nanoseconds / 1e9, UTC)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, decoded when they are read."""
        return self._message.headers

    def ack(self) -> None:
        """Say that we are done with it; best effort, for a message whose ack is lost comes again."""
        acknowledge([self])


def keep(messages: Sequence[IncomingMessage]) -> None:
    """Say that we still work on these, so that they are not delivered elsewhere yet; all of one fetch."""
    if messages:
        messages[0]._say([message._message.reply for message in messages], b"+WPI")  # noqa: SLF001  of this module


def give_back(messages: Sequence[IncomingMessage], *, after_seconds: float) -> None:
    """Say that we shall not work on these, so that they come again after that time; all of one fetch."""
    if messages:
        word = b'-NAK {"delay": %d}' % int(after_seconds * 1e9)
        messages[0]._say([message._message.reply for message in messages], word)  # noqa: SLF001  of this module


def acknowledge(messages: Sequence[IncomingMessage]) -> None:
    """Say that we are done with these, in one piece; all of one fetch."""
    if messages:
        messages[0]._acknowledge([message._message.reply for message in messages])  # noqa: SLF001  of this module


@dataclass(frozen=True, slots=True)
class ConsumerProgress:
    """
    One look at a consumer; two of them tell whether it moves.

    Args:
        delivered: messages delivered so far, repeated ones too.
        acknowledged: of these, those below which all are acknowledged.
        pending: messages not yet delivered.
        ack_pending: messages delivered and not yet acknowledged.
    """

    delivered: int
    acknowledged: int
    pending: int
    ack_pending: int

    def has_moved_since(self, earlier: "ConsumerProgress") -> bool:
        """Whether anything was delivered or acknowledged in between, or the consumer made anew."""
        return (self.delivered, self.acknowledged) != (earlier.delivered, earlier.acknowledged)


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """
    How far a consumer is.

    Args:
        pending: messages not yet delivered.
        ack_pending: messages delivered and not yet acknowledged.
        ack_floor_stored_at: when the newest message below which all are acknowledged was stored; None if there is
            none, or it is no longer in the stream.
    """

    pending: int
    ack_pending: int
    ack_floor_stored_at: datetime | None
