"""Our endpoint at Stripe is disabled and enabled again: metric, health and doctor see it, and nothing is lost."""

import re
import time
from collections.abc import AsyncIterator

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from devstack.options import Options
from devstack.ports import free_port
from devstack.stack import Stack
from devstack.stripe_endpoint import ENDPOINT_ID
from sluice.contract.document import Json
from sluice.simulator.builder import Subject
from sluice.simulator.catalog import SCENARIOS, play
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from tests.devstack.folders import reachable_folder
from tests.ops.cli import cli
from tests.system.seen import findings
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

ROUND = {"RECONCILE_EVERY_SECONDS": "2", "HEALTH_PERIOD_SECONDS": "1", "CANARY_SECONDS": "0"}
WITHIN = 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    """The whole system at a port that the offline Stripe knows beforehand, with short rounds."""
    with reachable_folder() as folder:
        async with Stack(Options(folder=folder / "local", port=free_port(), extra=ROUND)) as running:
            yield running


async def test_a_disabled_endpoint_is_seen_and_what_it_kept_away_is_filled(stack: Stack) -> None:
    """From the next round on; a payment meanwhile, of which no webhook comes, is paid before it is enabled again."""
    stripe = _stripe(stack)
    await until(lambda: _is_enabled(stack, wanted=True), within_seconds=WITHIN)
    _change(stripe, status="disabled")
    await until(lambda: _is_enabled(stack, wanted=False), within_seconds=WITHIN)
    await until(lambda: _has_fault(stack, wanted=True), within_seconds=WITHIN)
    assert "disabled" in await _doctor(stack)
    row = await _payment_without_a_webhook(stack, stripe)
    await until(lambda: _is_paid(stack, row), within_seconds=WITHIN)
    _change(stripe, status="enabled")
    await until(lambda: _is_enabled(stack, wanted=True), within_seconds=WITHIN)
    await until(lambda: _has_fault(stack, wanted=False), within_seconds=WITHIN)


async def test_a_type_that_is_unsubscribed_is_seen_by_name(stack: Stack) -> None:
    """Until it is subscribed again."""
    stripe = _stripe(stack)
    types = stripe.endpoints[False][ENDPOINT_ID]["enabled_events"]
    assert isinstance(types, list)
    _change(stripe, enabled_events=[name for name in types if name != "charge.refunded"])
    await until(lambda: _has_fault(stack, wanted=True), within_seconds=WITHIN)
    assert 'endpoint_findings{finding="types_missing",weight="fault"} 1.0' in await _metrics(stack)
    assert "charge.refunded" in await _doctor(stack)
    _change(stripe, enabled_events=types)
    await until(lambda: _has_fault(stack, wanted=False), within_seconds=WITHIN)


def _stripe(stack: Stack) -> OfflineStripe:
    assert stack.stripe is not None
    return stack.stripe


def _change(stripe: OfflineStripe, **changes: Json) -> None:
    stripe.endpoints[False][ENDPOINT_ID] = {**stripe.endpoints[False][ENDPOINT_ID], **changes}


async def _doctor(stack: Stack) -> str:
    """Everything that it prints; there is something to do."""
    result = await cli("doctor", "--without-url", **stack.environment())
    assert result.exit_code == 1, result.output
    return result.output


async def _payment_without_a_webhook(stack: Stack, stripe: OfflineStripe) -> str:
    connection = await asyncpg.connect(stack.database_url)
    try:
        row: str = await connection.fetchval("INSERT INTO events (name) VALUES ('disabled') RETURNING id::text")
    finally:
        await connection.close()
    for event in play(SCENARIOS["checkout_paid"], Subject("Night", row), seed=row, ends_at=int(time.time())):
        stripe.happened(event.body)
    return row


async def _is_paid(stack: Stack, row: str) -> bool:
    connection = await asyncpg.connect(stack.database_url)
    try:
        return bool(await connection.fetchval("SELECT payment_status = 'paid' FROM events WHERE id::text = $1", row))
    finally:
        await connection.close()


async def _is_enabled(stack: Stack, *, wanted: bool) -> bool:
    found = re.search(r'^endpoint_enabled\{mode="test"\} (\S+)$', await _metrics(stack), re.MULTILINE)
    return found is not None and (float(found[1]) == 1) is wanted


async def _has_fault(stack: Stack, *, wanted: bool) -> bool:
    return ("endpoint_fault" in await findings(stack)) is wanted


async def _metrics(stack: Stack) -> str:
    url = f"{stack.services['reconciler'].admin_url}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()
