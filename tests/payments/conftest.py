"""Connections of a test's own; what they begin is rolled back where the test does not commit."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg
import pytest_asyncio

from tests.payments.harness import Harness, two_rows


@pytest_asyncio.fixture
async def connect(database_url: str) -> AsyncIterator[Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]]:
    """Opens connections that the test leaves open."""
    async with AsyncExitStack() as stack:

        async def open_one() -> "asyncpg.Connection[asyncpg.Record]":
            connection = await asyncpg.connect(database_url, timeout=10, command_timeout=30)
            stack.push_async_callback(connection.close, timeout=5)
            return connection

        yield open_one


@pytest_asyncio.fixture
async def harness(connect: Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]) -> Harness:
    """A ledger with two rows of the platform, each statement committed by itself."""
    harness = Harness(await connect())
    await two_rows(harness)
    return harness
