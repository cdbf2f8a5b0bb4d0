"""PostgreSQL or NATS takes every byte and says nothing, or a table is locked: answers in time; all heals by itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

from tests.ingest.running import NOWHERE, Ingest, running
from tests.ingest.webhooks import webhook
from tests.waiting import until
from tests.wire import Wire

PROMISED = 1.0
IN_TIME = 3.5  # a write that times out, and then its connection, would take 4


@asynccontextmanager
async def _behind_a_wire(url: str) -> AsyncIterator[tuple[Wire, str]]:
    server = urlsplit(url)
    async with Wire(server.hostname or "", server.port or 0).open() as wire:
        yield wire, url.replace(f":{server.port}", f":{wire.port}", 1)


async def _statuses(ingest: Ingest) -> set[int]:
    """The answers to twenty webhooks at once, each in time."""
    async with asyncio.timeout(IN_TIME):
        replies = await asyncio.gather(*(ingest.deliver(webhook()) for _ in range(20)))
    return {reply.status for reply in replies}


async def _is_taken(ingest: Ingest) -> bool:
    return (await ingest.deliver(webhook())).status == 200


async def test_a_silent_postgresql_costs_each_request_its_deadline(database_url: str) -> None:
    """Neither the statement nor its cancellation is answered; what comes later does not wait for what came before."""
    async with _behind_a_wire(database_url) as (wire, url), running(url, NOWHERE, answer_seconds=PROMISED) as ingest:
        assert await _is_taken(ingest)
        wire.cut()
        assert [await _statuses(ingest) for _ in range(3)] == [{503}] * 3
        wire.mend()
        await until(lambda: _is_taken(ingest), within_seconds=5)


async def test_a_locked_table_costs_each_request_its_deadline(
    database_url: str, postgres: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """ALTER TABLE waits behind a long transaction; no delivery is answered before the commit that never came."""
    async with running(database_url, NOWHERE, answer_seconds=PROMISED) as ingest:
        assert await _is_taken(ingest)
        async with postgres.transaction():
            await postgres.execute("LOCK TABLE webhook_logs")
            assert [await _statuses(ingest) for _ in range(2)] == [{503}] * 2
        await until(lambda: _is_taken(ingest), within_seconds=5)


async def test_a_silent_nats_delays_no_answer(database_url: str, nats_url: str) -> None:
    """Publishing is off the request's path; the client that hears nothing is replaced."""
    async with _behind_a_wire(nats_url) as (wire, url), running(database_url, url) as ingest:

        async def is_connected() -> bool:
            stream = ingest.service.probes.status()["stream"]
            assert isinstance(stream, Mapping)
            return (stream["connected"], stream["generation"]) == (True, generation)

        generation = 1
        await until(is_connected)
        wire.cut()
        assert await _statuses(ingest) == {200}
        wire.mend()
        generation = 2
        await until(is_connected)
