"""Webhooks that came while ingest was away, and that Stripe repeats only after an hour, have their effect at once."""

import time
from collections.abc import AsyncIterator, Sequence

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from devstack.options import Options
from devstack.stack import Stack
from sluice.simulator.builder import SimulatedEvent, Subject
from sluice.simulator.catalog import SCENARIOS, play
from tests.devstack.folders import reachable_folder
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

HOUR = "3600"
PAYMENTS = 20
WITHIN_SECONDS = 90


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    """The whole system, whose reconciler looks once an hour unless something makes it look."""
    with reachable_folder() as folder:
        async with Stack(Options(folder=folder / "local", port=0, extra={"RECONCILE_EVERY_SECONDS": HOUR})) as running:
            yield running


async def test_an_outage_of_ingest_costs_seconds_and_no_hour(stack: Stack) -> None:
    """Every payment of the outage shows on its row within 90 seconds of ingest's return, and the metric says so."""
    assert stack.stripe is not None
    stripe = stack.stripe
    connection = await asyncpg.connect(stack.database_url)
    try:
        await until(lambda: _is_complete_since(stack, 0))
        rows = await _rows(connection)
        await stack.stop_service("ingest")
        events = [event for row in rows for event in _payment(row)]
        for event in events:
            stripe.happened(event.body)  # its webhook meets no ingest, and Stripe repeats it in an hour
        ended_at = time.time()
        await until(lambda: _has_noticed(connection))
        await stack.start_service("ingest")
        began = time.monotonic()
        await until(lambda: _are_paid(connection), within_seconds=WITHIN_SECONDS)
        assert time.monotonic() - began < WITHIN_SECONDS
        await until(lambda: _is_complete_since(stack, ended_at))
        assert (await _metrics(stack))["filled"] == len(events)
    finally:
        await connection.close()


def _payment(row: str) -> Sequence[SimulatedEvent]:
    return play(SCENARIOS["checkout_paid"], Subject("Night", row), seed=row, ends_at=int(time.time()))


async def _rows(connection: "asyncpg.Connection[asyncpg.Record]") -> Sequence[str]:
    made = await connection.fetch(
        "INSERT INTO events (name) SELECT 'night ' || n FROM generate_series(1, $1) AS n RETURNING id::text", PAYMENTS
    )
    return [row["id"] for row in made]


async def _has_noticed(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return bool(await connection.fetchval("SELECT count(*) FROM health_verdict WHERE status = 'unhealthy'"))


async def _are_paid(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return bool(await connection.fetchval("SELECT count(*) = $1 FROM events WHERE payment_status = 'paid'", PAYMENTS))


async def _is_complete_since(stack: Stack, moment: float) -> bool:
    return (await _metrics(stack))["complete_until"] > moment


async def _metrics(stack: Stack) -> dict[str, float]:
    url = f"{stack.services['reconciler'].admin_url}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        text = await answer.text()
    filled = [line for line in text.splitlines() if line.startswith("reconcile_events_total") and '"filled"' in line]
    complete = [line for line in text.splitlines() if line.startswith("reconcile_complete_until")]
    return {
        "filled": sum(float(line.rsplit(" ", 1)[1]) for line in filled),
        "complete_until": max((float(line.rsplit(" ", 1)[1]) for line in complete), default=0),
    }
