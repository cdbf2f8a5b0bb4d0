"""Thin events through the whole system: received, waited for, fetched from an offline Stripe, applied."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import aiohttp
import asyncpg
import orjson
import pytest

from devstack.stack import Stack
from sluice.contract.document import JsonObject
from sluice.simulator.builder import Subject
from sluice.simulator.catalog import SCENARIOS, play
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from sluice.simulator.stripe_api.ping import ping
from tests.system.traffic import Traffic
from tests.waiting import until

Books = asyncpg.Connection

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
_OUTCOME = "SELECT outcome FROM webhook_logs WHERE stripe_event_id = $1"


async def test_a_payment_told_by_thin_events_alone_is_paid(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]"
) -> None:
    """Each is answered 200, waits, and becomes its snapshot twin; the twins that come later change nothing."""
    row, stamp = traffic.events[0], f"{time.time_ns()}"
    history = play(SCENARIOS["checkout_paid"], Subject("Night", row), seed=stamp, ends_at=int(time.time()) - 5)
    snapshots = [event.body for event in history]
    thin = [_happened(_stripe(stack), body) for body in snapshots]
    assert await traffic.burst(thin, times=2) == [200] * 2 * len(thin)
    await until(lambda: _is(books, row, "paid"), within_seconds=60)
    assert await traffic.burst(snapshots, times=1) == [200] * len(snapshots)
    await until(lambda: _is_all_over(books), within_seconds=60)
    effects = await books.fetch("SELECT count(*) AS times FROM effect GROUP BY stripe_event_id")
    assert {effect["times"] for effect in effects} <= {1}
    assert await books.fetchval("SELECT count(*) FROM webhook_logs WHERE dead_at IS NOT NULL") == 0


async def test_without_a_reconciler_thin_events_wait_and_are_not_lost(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]"
) -> None:
    """The row says that it waits; once the reconciler is back it takes effect."""
    row, stamp = traffic.events[1], f"{time.time_ns()}"
    history = play(SCENARIOS["checkout_paid"], Subject("Night", row), seed=stamp, ends_at=int(time.time()) - 5)
    await stack.stop_service("reconciler")
    thin = [_happened(_stripe(stack), event.body) for event in history]
    assert await traffic.burst(thin, times=1) == [200] * len(thin)
    await until(lambda: _all_wait(books), within_seconds=60)
    assert not await _is(books, row, "paid")
    await stack.start_service("reconciler")
    await until(lambda: _is(books, row, "paid"), within_seconds=60)


async def test_a_deleted_object_is_unfetchable_and_raises_no_alarm(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]"
) -> None:
    """Nothing is dead, and no critical error row tells of a death."""
    body = _thin("evt_gone", "v1.payment_intent.succeeded", "pi_gone")
    _stripe(stack).happened_thinly(body, snapshot_event=None, created=int(time.time()))
    assert await traffic.burst([body], times=1) == [200]
    await until(lambda: _has_outcome(books, "evt_gone", "unfetchable"), within_seconds=60)
    assert await books.fetchval("SELECT count(*) FROM webhook_logs WHERE dead_at IS NOT NULL") == 0
    assert await books.fetchval("SELECT count(*) FROM error_logs WHERE severity = 'critical'") == 0


async def test_a_ping_comes_back_as_an_echo(stack: Stack, books: "Books[asyncpg.Record]") -> None:
    """Stripe is asked for it, sends it to our URL with that destination's secret, and its age is a metric."""
    destination: JsonObject = {
        "id": "ed_1Canary",
        "object": "v2.core.event_destination",
        "status": "enabled",
        "livemode": False,
        "webhook_endpoint": {"url": f"{stack.gateway_url}/api/stripe-webhook"},
    }
    stripe = _stripe(stack)
    stripe.destination_secrets["ed_1Canary"] = stack.webhook_secret
    asked_at = time.time()
    event = await ping(stripe, destination)
    await until(lambda: _has_outcome(books, str(event["id"]), "ping"), within_seconds=60)
    await until(lambda: _echo_is_newer(stack, asked_at), within_seconds=10)


def _stripe(stack: Stack) -> OfflineStripe:
    assert stack.stripe is not None
    return stack.stripe


def _happened(stripe: OfflineStripe, snapshot: bytes) -> bytes:
    """Let an event happen at Stripe, and give its thin twin as it is sent."""
    event = orjson.loads(snapshot)
    body = _thin(f"{event['id']}_thin", f"v1.{event['type']}", str(event["data"]["object"]["id"]))
    stripe.happened(snapshot)
    stripe.happened_thinly(body, snapshot_event=event["id"], created=event["created"])
    return body


def _thin(event_id: str, event_type: str, about: str) -> bytes:
    return orjson.dumps(
        {
            "id": event_id,
            "object": "v2.core.event",
            "type": event_type,
            "created": datetime.now(UTC).isoformat(),
            "livemode": False,
            "related_object": {"id": about, "type": "payment_intent", "url": f"/v1/payment_intents/{about}"},
        }
    )


async def _is(books: "Books[asyncpg.Record]", row: str, status: str) -> bool:
    return bool(await books.fetchval("SELECT payment_status = $2 FROM events WHERE id::text = $1", row, status))


async def _has_outcome(books: "Books[asyncpg.Record]", event_id: str, outcome: str) -> bool:
    return bool(await books.fetchval(_OUTCOME, event_id) == outcome)


async def _is_all_over(books: "Books[asyncpg.Record]") -> bool:
    return not await books.fetchval("SELECT count(*) FROM webhook_logs WHERE NOT processed")


async def _all_wait(books: "Books[asyncpg.Record]") -> bool:
    rows: Sequence[asyncpg.Record] = await books.fetch(
        "SELECT outcome FROM webhook_logs WHERE webhook_type LIKE 'v1.%' AND NOT processed"
    )
    return bool(rows) and {row["outcome"] for row in rows} == {"fetching"}


async def _echo_is_newer(stack: Stack, moment: float) -> bool:
    url = f"{stack.services['processor'].admin_url}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    name = 'webhook_last_ping_timestamp_seconds{mode="test"} '
    return any(float(line.removeprefix(name)) >= moment for line in lines if line.startswith(name))
