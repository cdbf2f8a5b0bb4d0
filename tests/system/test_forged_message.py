"""An intruder who may publish to the stream tries to pay rows with it; on the whole system."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import asyncpg
import nats
import pytest
from nats.js import JetStreamContext

from devstack.stack import Stack
from sluice.contract.codec import Envelope, cloudevents_headers, encode
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import subject_for
from tests.system.account import draw_up, settle
from tests.system.traffic import Traffic, payment_succeeded
from tests.waiting import until

Books = asyncpg.Connection

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def intruder(stack: Stack) -> AsyncIterator[JetStreamContext]:
    """A connection with the password of the one user that may do everything."""
    client = await nats.connect(stack.nats_url)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def send(
    stream: JetStreamContext, event: StripeEvent, *, attempt: int = 0, headers: Mapping[str, str] | None = None
) -> None:
    """A message as ingest would make it, with other headers where they are given."""
    told = {**cloudevents_headers(event), **(headers or {})}
    await stream.publish(subject_for(event), encode(Envelope(event, attempt)), headers=told)


async def test_forged_messages_pay_no_row_and_are_seen(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]"
) -> None:
    """Before, together with and after the genuine ones: each row has its own effect once, and operators hear of it."""
    poor, rich = await books.fetch("INSERT INTO events (name) VALUES ('poor'), ('rich') RETURNING id::text AS id")
    stamp = f"{time.time_ns()}"
    genuine = [
        read_event(payment_succeeded(f"evt_g{n}_{stamp}", f"pi_g{n}_{stamp}", events_id=rich["id"])) for n in range(6)
    ]
    others = [
        replace(each, body=payment_succeeded(each.stripe_event_id, f"pi_f{n}_{stamp}", events_id=poor["id"]))
        for n, each in enumerate(genuine)
    ]
    await stack.stop_service("processor")
    async with intruder(stack) as stream:
        await send(stream, others[0])
        await send(stream, replace(genuine[0], type="charge.dispute.created"))
        assert await traffic.burst([each.body for each in genuine], times=1) == [200] * 6
        await until(lambda: _are_published(stream, 8))
        await send(stream, others[1], headers={"ce-id": "evt_other", "traceparent": "00-0-0-00"})
        await send(stream, replace(genuine[2], account="acct_other"))
        await send(stream, replace(genuine[3], tenant=poor["id"]))
        await send(stream, others[4], attempt=7)
        await send(stream, genuine[4], attempt=1)
        await stack.start_service("processor")
        await settle(books, within_seconds=60)
        await send(stream, others[5])
        await until(lambda: _names_all(books, len(genuine)), within_seconds=60)
        await until(lambda: _is_told(stack), within_seconds=60)
    assert (await draw_up(books, traffic.acknowledged)).balances
    assert await books.fetchval("SELECT count(*) FROM effect") == 6
    statuses = await books.fetch(
        "SELECT name, payment_status FROM events WHERE id::text = ANY ($1)", [poor["id"], rich["id"]]
    )
    assert {row["name"]: row["payment_status"] for row in statuses} == {"poor": "pending", "rich": "paid"}
    assert await books.fetchval("SELECT max(processing_attempts + solo_starts) FROM webhook_logs") == 0
    assert await books.fetchval("SELECT count(*) FROM payment WHERE events_id = $1", poor["id"]) == 0


async def _are_published(stream: JetStreamContext, messages: int) -> bool:
    info = await stream.consumer_info("STRIPE", "processor")
    return (info.num_pending or 0) >= messages


async def _names_all(books: "Books[asyncpg.Record]", events: int) -> bool:
    query = (
        "SELECT count(DISTINCT stripe_event_id) FROM error_logs "
        "WHERE severity = 'critical' AND message LIKE '%was not run%'"
    )
    return bool(await books.fetchval(query) == events)


async def _is_told(stack: Stack) -> bool:
    """By healthd to those who ask, and by the processor to Prometheus."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(10):
        async with session.get(f"{stack.gateway_url}/api/health") as answer:
            health = await answer.text()
        async with session.get(f"{stack.services['processor'].admin_url}/metrics") as answer:
            counted = [
                line for line in (await answer.text()).splitlines() if line.startswith("webhook_messages_forged_total")
            ]
    return "messages_forged" in health and counted != [] and float(counted[0].split()[1]) >= 6
