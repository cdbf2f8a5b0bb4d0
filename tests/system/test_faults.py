"""The promises of the whole system, while its parts die under load."""

import asyncpg
import nats
import pytest

from devstack.stack import Stack
from sluice.contract.subjects import STREAM
from tests.system.account import draw_up, settle
from tests.system.traffic import Traffic
from tests.waiting import until

Books = asyncpg.Connection

HEAL_SECONDS = 75.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


def restarts(stack: Stack) -> dict[str, int]:
    """How often each service was started again so far."""
    return {name: service.restarts for name, service in stack.services.items()}


async def test_a_hundred_webhooks_at_once_three_times_each_have_a_hundred_effects(
    traffic: Traffic, books: "Books[asyncpg.Record]"
) -> None:
    """A hundred webhooks posted at the same instant, each three times: 100 rows, 100 effects, all answered 200."""
    statuses = await traffic.burst([traffic.payment() for _ in range(100)], times=3)
    await settle(books, within_seconds=HEAL_SECONDS)
    assert statuses == [200] * 300
    assert await books.fetchval("SELECT count(*) FROM webhook_logs") == 100
    assert await books.fetchval("SELECT count(*) FROM effect") == 100
    assert await books.fetchval("SELECT count(*) FROM webhook_delivery") == 200
    assert await books.fetchval("SELECT count(*) FROM error_logs") == 0
    assert (await draw_up(books, traffic.acknowledged)).balances


@pytest.mark.parametrize("name", ["ingest", "processor", "healthd"])
async def test_a_service_killed_under_load_loses_and_doubles_nothing(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]", name: str
) -> None:
    """Each service may be killed at any moment; it comes back and the books balance."""
    before = restarts(stack)
    async with traffic.flowing(per_second=100):
        for _ in range(3):
            await traffic.acknowledged_more(60, within_seconds=30)
            killed = stack.services[name].pid
            stack.services[name].kill()
            await until(lambda killed=killed: stack.services[name].pid != killed, within_seconds=30)  # type: ignore[misc]
        assert await stack.wait_ready(name)
        await traffic.acknowledged_more(60, within_seconds=30)
    await settle(books, within_seconds=HEAL_SECONDS)
    assert (await draw_up(books, traffic.acknowledged)).balances
    assert restarts(stack) == before | {name: before[name] + 3}


@pytest.mark.parametrize("store", ["kept", "deleted"])
async def test_webhooks_are_acknowledged_while_nats_is_away_and_processed_afterwards(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]", store: str
) -> None:
    """NATS is the bell only: without it webhooks are accepted, and even its whole store is not missed."""
    before = restarts(stack)
    async with traffic.flowing(per_second=60):
        await traffic.acknowledged_more(60, within_seconds=30)
        refused_before = traffic.answers[503]
        if store == "kept":
            await stack.servers.nats.stop()
        else:
            await stack.servers.nats.wipe()
        await traffic.acknowledged_more(120, within_seconds=30)
        assert traffic.answers[503] == refused_before
        await stack.servers.nats.restart()
        await traffic.acknowledged_more(60, within_seconds=30)
    await settle(books, within_seconds=HEAL_SECONDS)
    assert (await draw_up(books, traffic.acknowledged)).balances
    assert restarts(stack) == before


async def test_messages_lost_under_continuous_load_come_back_within_a_minute(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]"
) -> None:
    """The stream is emptied while more and more comes in: what was in it is published again and processed."""

    async def lost_are_processed() -> bool:
        return not await books.fetchval(
            "SELECT count(*) FROM webhook_logs WHERE NOT processed AND stripe_event_id = ANY ($1)", lost
        )

    async with traffic.flowing(per_second=60):
        await stack.stop_service("processor")
        await traffic.acknowledged_more(60, within_seconds=30)
        rows = await books.fetch("SELECT stripe_event_id FROM webhook_logs WHERE NOT processed")
        lost = [row["stripe_event_id"] for row in rows]
        assert await emptied(stack.nats_url) >= 30
        await stack.start_service("processor")
        await until(lost_are_processed, within_seconds=60)
    await settle(books, within_seconds=HEAL_SECONDS)
    assert (await draw_up(books, traffic.acknowledged)).balances


async def emptied(nats_url: str) -> int:
    """Purge the stream; how many messages were lost."""
    client = await nats.connect(nats_url)
    try:
        stream = client.jetstream()
        count = (await stream.stream_info(STREAM)).state.messages
        await stream.purge_stream(STREAM)
    finally:
        await client.close()
    return count


async def test_a_postgresql_killed_under_load_takes_no_effect_with_it_for_good(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]"
) -> None:
    """Effects of its last moments may go with it, each with its ``processed = true``; they come back, once each."""
    before = restarts(stack)
    async with traffic.flowing(per_second=100):
        for _ in range(2):
            await traffic.acknowledged_more(100, within_seconds=60)
            killed = stack.servers.postgres.pid
            stack.servers.postgres.kill()
            await until(lambda killed=killed: stack.servers.postgres.pid != killed, within_seconds=60)  # type: ignore[misc]
        await traffic.acknowledged_more(100, within_seconds=60)
    connection = await asyncpg.connect(stack.database_url)
    try:
        await settle(connection, within_seconds=HEAL_SECONDS)
        account = await draw_up(connection, traffic.acknowledged)
    finally:
        connection.terminate()
    assert account.balances
    assert restarts(stack) == before


async def test_without_postgresql_webhooks_are_refused_at_once_and_all_heals_without_a_restart(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]"
) -> None:
    """A 200 needs a commit: without PostgreSQL the answer is 503, nothing hangs, nothing needs a restart."""
    before = restarts(stack)
    async with traffic.flowing(per_second=60):
        await traffic.acknowledged_more(60, within_seconds=30)
        await stack.servers.postgres.stop()
        await traffic.answered_more(503, 30, within_seconds=30)
        acknowledged = len(traffic.acknowledged)
        await traffic.answered_more(503, 30, within_seconds=30)
        assert len(traffic.acknowledged) == acknowledged
        await stack.servers.postgres.restart()
        await traffic.acknowledged_more(100, within_seconds=60)
    connection = await asyncpg.connect(stack.database_url)
    try:
        await settle(connection, within_seconds=HEAL_SECONDS)
        account = await draw_up(connection, traffic.acknowledged)
    finally:
        connection.terminate()
    assert account.balances
    assert traffic.slowest_seconds < 5
    assert restarts(stack) == before
