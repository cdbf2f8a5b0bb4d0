"""Processors as processes of their own: those that run heed a pause without a restart, and those that start later."""

from contextlib import AsyncExitStack

import aiohttp

from devstack.ports import free_port
from sluice.inbox.operations import Decision
from sluice.inbox.pauses import Kind
from sluice.operations import pauses
from sluice.operations.pauses import Target
from tests.processor.harness import Harness, event
from tests.processor.processes import Processes
from tests.waiting import until

DECISION = Decision("ada", "it pays twice")


async def test_every_replica_heeds_a_pause_until_it_ends(harness: Harness, database_url: str) -> None:
    """Without NATS, two that run and one that starts in place of them; at the end each webhook has one effect."""
    processes = Processes(harness, None, database_url, "")
    before, meanwhile, after_restart = ([event() for _ in range(40)] for _ in range(3))
    await harness.record(*before)
    async with AsyncExitStack() as old:
        ports = [free_port(), free_port()]
        for port in ports:
            await old.enter_async_context(processes.processor(ADMIN_PORT=str(port)))
        await until(lambda: processes.are_settled(before), within_seconds=60)
        async with harness.database.acquire() as session:
            pause_id = await pauses.begin(session, Target(Kind.ALL), DECISION)
        for port in ports:
            await until(lambda port=port: _heeds(port, pause_id), within_seconds=10)  # type: ignore[misc]
        await harness.record(*meanwhile)
        await until(lambda: _waiting(harness, 40), within_seconds=60)
    await harness.record(*after_restart)
    async with processes.processor():
        await until(lambda: _waiting(harness, 80), within_seconds=60)
        assert await harness.effects() == {each.stripe_event_id: 1 for each in before}
        async with harness.database.acquire() as session:
            await pauses.end(session, [pause_id], DECISION)
        await until(lambda: processes.are_settled([*meanwhile, *after_restart]), within_seconds=60)
    assert await harness.effects() == {each.stripe_event_id: 1 for each in (*before, *meanwhile, *after_restart)}
    [row] = await harness.database.fetch("SELECT max(processing_attempts) FROM webhook_logs")
    assert row[0] == 0


async def _heeds(port: int, pause_id: int) -> bool:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/status") as answer:
        told = await answer.json()
    return str(pause_id) in told["pauses"]


async def _waiting(harness: Harness, count: int) -> bool:
    [row] = await harness.database.fetch("SELECT count(*) FROM paused_webhook")
    return bool(row[0] == count)
