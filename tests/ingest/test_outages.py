"""PostgreSQL stopped and started again: 503 at once, nothing hangs, and no restart is needed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest_asyncio

from devstack.postgres import PostgresServer
from tests.ingest.running import NOWHERE, Ingest, running
from tests.ingest.webhooks import webhook
from tests.template import apply_migrations
from tests.waiting import until


@pytest_asyncio.fixture
async def own_postgres(session_folder: Path) -> AsyncIterator[PostgresServer]:
    """A server that this test may stop."""
    server = await PostgresServer.start(session_folder / "ingest-outage")
    await apply_migrations(server.url())
    yield server
    await server.stop()


async def test_without_postgresql_it_is_503_at_once_and_heals_without_a_restart(own_postgres: PostgresServer) -> None:
    """Stopped under load, killed under load, started again: only committed webhooks were acknowledged."""
    acknowledged: set[str] = set()
    async with running(own_postgres.url(), NOWHERE) as ingest:
        await _deliver(ingest, acknowledged)
        await until(lambda: ingest.service.probes.status()["ready"] is True)
        for end in (own_postgres.stop, _kill(own_postgres)):
            load = asyncio.gather(*(_deliver(ingest, acknowledged) for _ in range(50)))
            await end()
            await load
            began = asyncio.get_running_loop().time()
            refused = await ingest.deliver(webhook())
            assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
            assert asyncio.get_running_loop().time() - began < 1
            assert await _deliver(ingest, acknowledged) == 503
            assert ingest.service.probes.status()["ready"] is True
            await own_postgres.restart()
            await until(lambda: _is_back(ingest, acknowledged))
    connection = await asyncpg.connect(own_postgres.url(), timeout=10)
    rows = {row["stripe_event_id"] for row in await connection.fetch("SELECT stripe_event_id FROM webhook_logs")}
    await connection.close(timeout=5)
    assert len(acknowledged) >= 3
    assert acknowledged <= rows


def _kill(server: PostgresServer) -> Callable[[], Awaitable[None]]:
    async def kill() -> None:
        server.kill()

    return kill


async def _deliver(ingest: Ingest, acknowledged: set[str]) -> int:
    reply = await ingest.deliver(webhook())
    assert reply.status in {200, 503}
    if reply.status == 200:
        acknowledged.add(reply.json["id"])
    return reply.status


async def _is_back(ingest: Ingest, acknowledged: set[str]) -> bool:
    return await _deliver(ingest, acknowledged) == 200
