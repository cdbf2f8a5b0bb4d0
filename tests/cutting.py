"""A TCP proxy that ends a connection after so many bytes of the server's, as a server that is killed does."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_FATAL = b"SFATAL\0VFATAL\0C57P02\0Mterminating connection because of crash of another server process\0\0"
LAST_WORD = b"E" + struct.pack("!I", len(_FATAL) + 4) + _FATAL
"""What PostgreSQL says to each client when one of its processes was killed."""


@dataclass
class Cutter:
    """
    While ``left`` is a number, so many bytes still reach the clients, and then the end.

    Between two messages, ``last_word`` comes before the end: within one, PostgreSQL says no more.
    """

    dsn: str
    left: int | None = None
    last_word: bytes = b""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Listen until the block ends; the address that leads through the proxy."""
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            with suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer)
            writer.close()
            tasks.discard(task)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        yield self.dsn.replace(f":{urlsplit(self.dsn).port}", f":{port}")
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self.dsn)
        far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port)
        up = asyncio.ensure_future(_pass_on(reader, far_writer))
        boundaries = _Boundaries()
        try:
            while (data := await far_reader.read(65_536)) and self._may_go_on(data, writer, boundaries):
                pass
        finally:
            up.cancel()
            far_writer.close()

    def _may_go_on(self, data: bytes, writer: asyncio.StreamWriter, boundaries: "_Boundaries") -> bool:
        is_whole = self.left is None or len(data) < self.left
        data = data if is_whole else data[: self.left]
        boundaries.pass_by(data)
        writer.write(data)
        if is_whole:
            self.left = None if self.left is None else self.left - len(data)
        elif boundaries.is_between_messages:
            writer.write(self.last_word)
        return is_whole


class _Boundaries:
    """Where the server's messages begin; its answer to a question for TLS is one byte."""

    def __init__(self) -> None:
        self._held = b""
        self._is_first = True

    @property
    def is_between_messages(self) -> bool:
        return not self._held

    def pass_by(self, data: bytes) -> None:
        """These bytes went to the client."""
        if self._is_first and data:
            self._is_first = False
            data = data.removeprefix(b"N")
        self._held += data
        while len(self._held) >= 5 and len(self._held) > (size := int.from_bytes(self._held[1:5])):
            self._held = self._held[size + 1 :]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()
