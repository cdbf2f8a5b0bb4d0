"""A running ingest for each test that asks for one."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from sluice.runtime import logs
from tests.ingest.running import Ingest, running


@pytest_asyncio.fixture
async def ingest(database_url: str, nats_url: str) -> AsyncIterator[Ingest]:
    """Ingest on a database and a NATS of this test's own."""
    logs.configure("ingest", "debug")
    async with running(database_url, nats_url) as ingest:
        yield ingest


@pytest_asyncio.fixture
async def postgres(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the test's own, to look and to interfere."""
    connection = await asyncpg.connect(database_url, timeout=10)
    yield connection
    await connection.close(timeout=5)
