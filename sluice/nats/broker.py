"""The interface between the services and a stream; ``tests/nats/test_broker.py`` holds each implementation to it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from sluice.failures import StreamUnavailable
from sluice.nats.types import ConsumerProgress, ConsumerState, IncomingMessage, OutgoingMessage
from sluice.runtime.probes import JsonValue

Published: TypeAlias = bool | StreamUnavailable | ValueError
"""Whether a message was stored; False: it was before. Or why not: ``StreamUnavailable`` as far as we know."""


class Broker(Protocol):
    """
    One stream, and maybe one consumer of it; both are made sure of, and a lost connection is replaced.

    Messages are acknowledged, kept and given back by functions of ``sluice.nats.types``.
    """

    @property
    def is_connected(self) -> bool:
        """Connected, with stream and consumer in place when last looked at."""

    @property
    def generation(self) -> int:
        """Connections made so far; it grows with each lost one."""

    @property
    def max_payload(self) -> int:
        """The largest message with its headers, in bytes, that the server takes; as it last said."""

    async def wait_connected(self) -> None:
        """Wait until connected; the caller sets the deadline."""

    def status(self) -> Mapping[str, JsonValue]:
        """The state of the connection and of the stream's settings, for ``/status``."""

    async def publish(self, message: OutgoingMessage, *, within_seconds: float = 5) -> bool:
        """
        Store one message: True if it was stored, False if the stream had one with its id already.

        Raises:
            StreamUnavailable: not stored as far as we know; it may be all the same, when the answer was lost.
            ValueError: larger than ``max_payload``; sending it would cost the connection.
        """

    async def publish_many(
        self, messages: Sequence[OutgoingMessage], *, within_seconds: float = 5
    ) -> Sequence[Published]:
        """
        Store messages, sent together: for each what ``publish`` would have returned or raised.

        Raises:
            StreamUnavailable: none was sent.
        """

    def send_many(
        self, messages: Sequence[OutgoingMessage], tell: Callable[[Sequence[Published]], None], *, within_seconds: float
    ) -> None:
        """
        Send messages together, and return at once; ``tell`` takes what ``publish_many`` would return.

        Args:
            tell: must not raise; it may be called before this returns.

        Raises:
            StreamUnavailable: none was sent.
        """

    async def fetch(self, batch: int, *, within_seconds: float = 1) -> Sequence[IncomingMessage]:
        """Up to ``batch`` messages as soon as there is one; after that time none, also when the stream is away."""

    async def consumer_state(self, durable: str, *, with_ack_floor: bool = True) -> ConsumerState:
        """
        How far a consumer of this stream is.

        Args:
            with_ack_floor: tell when the message at its ack floor was stored; that takes the right to read messages.

        Raises:
            StreamUnavailable: it is not there, or the stream is away.
        """

    async def consumer_progress(self, durable: str, *, within_seconds: float = 3) -> ConsumerProgress:
        """
        How far a consumer of this stream is, in one request.

        Raises:
            StreamUnavailable: it is not there, or there was no answer in that time.
        """
