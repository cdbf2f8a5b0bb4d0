"""A TCP proxy that does to connections what networks do: cuts, delays, narrows, silences, loses."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_PIECE_BYTES = 16_384


@dataclass(eq=False)
class Proxy:
    """Stands before one server; each field is one fault, and may be changed while connections are open."""

    host: str
    port: int
    delay_seconds: float = 0
    """Of each piece, in either direction."""
    bytes_per_second: float | None = None
    """Of each connection, in either direction."""
    loses_answers: bool = False
    """What the server says is thrown away; such a connection is cut once this ends."""
    halves_every: int | None = None
    """Of so many pieces that the server sends, one is cut in its middle, and its connection with it."""
    _open: set["_Connection"] = field(default_factory=set)
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _pieces: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Serve while the block runs; the port."""
        self._flows.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self._flows.set()
            tasks = [connection.task for connection in self._open]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection that is open."""
        for connection in list(self._open):
            connection.cut()

    def part(self) -> None:
        """Let nothing through, in either direction, until ``join``: what is sent meanwhile arrives then."""
        self._flows.clear()

    def join(self) -> None:
        """End what ``part`` began."""
        self._flows.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(self, task, writer)
        self._open.add(connection)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await connection.serve(reader)
        finally:
            self._open.discard(connection)
            await _end(writer)

    async def passes(self, data: bytes, *, is_answer: bool) -> bytes | None:
        """Return the rest of a piece, once it may go on; None ends the connection."""
        await self._flows.wait()
        wait = self.delay_seconds + (len(data) / self.bytes_per_second if self.bytes_per_second else 0)
        if wait:
            await asyncio.sleep(wait)  # the fault itself
        if not is_answer or self.halves_every is None:
            return data
        self._pieces += 1
        return None if self._pieces % self.halves_every == 0 else data


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


class _Connection:
    def __init__(self, proxy: Proxy, task: "asyncio.Task[None]", near: asyncio.StreamWriter) -> None:
        self.task = task
        self._proxy = proxy
        self._near = near
        self._has_lost = False

    def cut(self) -> None:
        if self._near.is_closing():  # it has no socket any more
            return
        linger = struct.pack("ii", 1, 0)
        self._near.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._near.transport.abort()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        far_reader, far = await asyncio.open_connection(self._proxy.host, self._proxy.port)
        up = asyncio.ensure_future(self._pass_on(reader, far, is_answer=False))
        down = asyncio.ensure_future(self._pass_on(far_reader, self._near, is_answer=True))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
            down.cancel()
            far.transport.abort()  # before anything that a second cancellation could end
            await asyncio.gather(up, down, return_exceptions=True)
            await _end(far)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(_PIECE_BYTES):
                if is_answer and self._loses():
                    continue
                passed = None if self._has_lost else await self._proxy.passes(data, is_answer=is_answer)
                if passed is None:
                    writer.write(b"" if self._has_lost else data[: len(data) // 2])
                    return
                writer.write(passed)
                await writer.drain()

    def _loses(self) -> bool:
        self._has_lost = self._has_lost or self._proxy.loses_answers
        return self._proxy.loses_answers
