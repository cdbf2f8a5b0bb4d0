"""After SIGTERM a request under way has its time, also where nothing lingers."""

import asyncio

import asyncpg
import pytest

from tests.ingest.raw import raw, request, status
from tests.ingest.running import NOWHERE, running
from tests.ingest.webhooks import webhook
from tests.waiting import until

UNTOUCHED_SECONDS = 0.5
LINGER_SECONDS = 2


async def test_a_request_under_way_is_answered_after_the_port_is_closed(
    database_url: str, postgres: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Its write waits for a lock; nothing is cut, and its answer comes when the lock is free."""
    body = webhook()
    async with running(database_url, NOWHERE) as ingest, raw(ingest.port) as (reader, writer):
        async with postgres.transaction():
            await postgres.execute("LOCK TABLE webhook_logs IN SHARE MODE")
            writer.write(request(body) + body)
            await until(lambda: postgres.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
            ingest.service.stop.set()
            with pytest.raises(TimeoutError):  # neither an answer nor an end
                await asyncio.wait_for(reader.read(1), UNTOUCHED_SECONDS)
        assert await status(reader) == 200
    assert await postgres.fetchval("SELECT count(*) FROM webhook_logs") == 1


async def test_new_clients_are_taken_in_until_load_balancers_know(database_url: str) -> None:
    """For ``LINGER_SECONDS`` after SIGTERM the port is open, and what comes is recorded."""
    async with running(database_url, NOWHERE, linger_seconds=LINGER_SECONDS, drain_seconds=20) as ingest:
        ingest.service.stop.set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), UNTOUCHED_SECONDS)
        assert (await ingest.deliver(webhook())).status == 200
