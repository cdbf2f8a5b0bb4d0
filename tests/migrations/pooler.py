"""A pooler in transaction mode, small and true: each transaction gets whichever session has been idle longest."""

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_NEGOTIATIONS = {80877103, 80877104}  # SSLRequest, GSSENCRequest


@dataclass(frozen=True)
class Peer:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def message(self) -> tuple[bytes, bytes]:
        """The next message: its type, and all of it."""
        head = await self.reader.readexactly(5)
        rest = await self.reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
        return head[:1], head + rest


@dataclass
class TransactionPooler:
    """Sessions wait in a row; a login's own session joins it."""

    host: str
    port: int
    idle: "deque[Peer]" = field(default_factory=deque)
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, from its login to its end."""
        client = Peer(reader, writer)
        self.opened.append(writer)
        try:
            self.idle.append(await self._log_in(client))
            await self._pass_on(client)
        except* (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _log_in(self, client: Peer) -> Peer:
        startup = await self._startup(client)
        server = Peer(*await asyncio.open_connection(self.host, self.port))
        self.opened.append(server.writer)
        server.writer.write(startup)
        while True:
            kind, message = await server.message()
            client.writer.write(message)
            if kind == b"Z":
                return server
            if kind == b"R" and struct.unpack("!I", message[5:9])[0] in {10, 11}:  # SASL: the client's turn
                server.writer.write((await client.message())[1])

    async def _startup(self, client: Peer) -> bytes:
        while True:
            head = await client.reader.readexactly(8)
            size, code = struct.unpack("!II", head)
            rest = await client.reader.readexactly(size - 8)
            if code not in _NEGOTIATIONS:
                return head + rest
            client.writer.write(b"N")

    async def _pass_on(self, client: Peer) -> None:
        async with asyncio.TaskGroup() as turns:
            server, turn = None, None
            while True:
                kind, message = await client.message()
                if kind == b"X":
                    return
                if server is None or turn is None or turn.done():
                    server = self.idle.popleft()
                    turn = turns.create_task(self._answer(server, client))
                server.writer.write(message)

    async def _answer(self, server: Peer, client: Peer) -> None:
        """Pass on the session's bytes until it is out of its transaction; then any client may have it."""
        while True:
            kind, message = await server.message()
            client.writer.write(message)
            if kind == b"Z" and message[5:6] == b"I":
                self.idle.append(server)
                return


@asynccontextmanager
async def pooled(url: str) -> AsyncIterator[str]:
    """The address of a transaction pooler before that database."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    pooler = TransactionPooler(parts.hostname, parts.port)
    server = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    try:
        yield url.replace(f":{parts.port}/", f":{server.sockets[0].getsockname()[1]}/")
    finally:
        server.close()
        for writer in pooler.opened:
            writer.close()
        await asyncio.sleep(0)
