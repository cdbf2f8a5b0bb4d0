"""The whole system, as `make run` starts it: one for each module, with rows of its own for each test."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from devstack.stack import Stack
from tests.system.account import FRESH, SINK
from tests.system.traffic import Traffic

EVENTS = 20


@pytest_asyncio.fixture(loop_scope="module")
async def books(stack: Stack) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection for the accountant, and a sink that hears of every effect; a stopped PostgreSQL ends it."""
    await _make_whole(stack)
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute(FRESH)
    await connection.execute(SINK)
    yield connection
    connection.terminate()


async def _make_whole(stack: Stack) -> None:
    """Whatever an earlier test that failed left away is there again."""
    for server in (stack.servers.postgres, stack.servers.nats):
        if not server.is_wanted:
            await server.restart()
    for name in stack.services:
        assert await stack.wait_ready(name)


@pytest_asyncio.fixture(loop_scope="module")
async def traffic(stack: Stack, books: "asyncpg.Connection[asyncpg.Record]") -> Traffic:
    """Stripe, with rows of ``events`` to pay for."""
    rows = await books.fetch(
        "INSERT INTO events (name) SELECT 'system test ' || n FROM generate_series(1, $1) AS n RETURNING id::text",
        EVENTS,
    )
    return Traffic(stack.gateway_url, stack.webhook_secret, [row["id"] for row in rows])
