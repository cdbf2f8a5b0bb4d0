"""What the chassis' tests share: settings, servers of a test's own, and a wire that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from devstack.postgres import PostgresServer
from sluice.chassis.settings import ServiceSettings


@pytest.fixture
def make_settings() -> Callable[..., ServiceSettings]:
    """Settings of a service, of which a test says only what matters to it."""

    def make(database_url: str = "postgresql://nobody@127.0.0.1:1/none", **values: object) -> ServiceSettings:
        return ServiceSettings.model_validate(
            {"database_url": SecretStr(database_url), "admin_host": "127.0.0.1", "admin_port": 0, **values}
        )

    return make


@pytest_asyncio.fixture
async def own_postgres(session_folder: Path) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL that this test may stop."""
    server = await PostgresServer.start(session_folder / "own-postgres")
    yield server
    await server.stop()


class Wire:
    """A TCP proxy; while it is cut it accepts and swallows everything and says nothing, like a dead host."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._whole = asyncio.Event()
        self._whole.set()
        self.port = 0

    def cut(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self._whole.clear()

    def mend(self) -> None:
        """New connections work again; what was swallowed stays so."""
        self._whole.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Wire"]:
        """Listen on a free port until the block ends."""
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            with suppress(asyncio.CancelledError, OSError):
                await self._serve(reader, writer)
            writer.transport.abort()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer))
                group.create_task(self._pump(far_reader, writer))
        finally:
            far_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dead = False
        while data := await reader.read(65_536):
            dead = dead or not self._whole.is_set()
            if not dead:
                writer.write(data)
        if not dead:
            writer.close()


@pytest.fixture
def wire() -> type[Wire]:
    """The proxy that can be cut."""
    return Wire
