"""
The same connection past nats-py's parser and buffer: batches of messages are read and written as one piece of bytes.

It uses private names of nats-py, which ``tests/nats/test_private_names.py`` lists; ``NATS_CLIENT=public`` does without.
"""

import asyncio
from collections.abc import Callable, Iterable

from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from sluice.failures import StreamUnavailable
from sluice.nats.connection import UNSENT_BYTES_MAX, Connection, Reply
from sluice.nats.protocol import Message, Request, begins_with_message, take_messages


class FastConnection(Connection):
    """Reads messages without a queue and a task's turn for each, and writes without a task."""

    def __init__(self) -> None:
        super().__init__()
        self._client._ps = _Reader(self._client, self._on_message)  # noqa: SLF001  it has no other place for a reader

    def _write(self, requests: Iterable[tuple[Request, Reply]]) -> None:
        """
        Send requests in one piece, now.

        Not by nats-py's buffer, which a task of its own empties a turn later; what that one sends (pings) is whole
        frames, too.
        """
        self._check_alive()
        writer: asyncio.StreamWriter | None = getattr(self._client._transport, "_io_writer", None)  # noqa: SLF001
        if writer is None:
            raise StreamUnavailable("the connection to NATS is closing")
        if writer.transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            raise StreamUnavailable("NATS takes nothing off us")
        writer.write(b"".join([request.to_bytes(reply) for request, reply in requests]))


class _Reader(Parser):
    """
    nats-py's reader of what the server sends, with a shorter way for messages.

    Theirs costs a queue and a task's turn for each, and ends at a subject that is no UTF-8. What is no message (a ping,
    an error, the server's news) is theirs.
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
