"""Connections on which anything can be sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ingest.http.endpoint import PLATFORM_PATH
from tests.ingest.webhooks import signed


@asynccontextmanager
async def raw(port: int, *, seconds: float = 20) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which anything can be sent; so many seconds without an end of the block fail the test."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(seconds):
            yield reader, writer
    finally:
        writer.transport.abort()


def request(body: bytes, *lines: str, length: int | None = None, path: str = PLATFORM_PATH, secret: str = "") -> bytes:
    """The bytes of a request's head, with more header lines."""
    signature = signed(body, secret) if secret else signed(body)
    headers = {"Host": "localhost", **signature, "Content-Length": len(body) if length is None else length}
    head = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n"


async def status(reader: asyncio.StreamReader) -> int:
    """The status of the next answer, whose head and body are read."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])
