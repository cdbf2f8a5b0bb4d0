"""Webhooks that met no ingest, and that Stripe repeats only after an hour, have their effect at once."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from devstack.options import Options
from devstack.stack import Stack
from tests.devstack.folders import reachable_folder
from tests.system.outage import SETTINGS, WANTED_SECONDS, measure

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

QUICK = {"HEALTH_PERIOD_SECONDS": "1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    """The whole system, whose reconciler looks once an hour unless something makes it look."""
    with reachable_folder() as folder:
        async with Stack(Options(folder=folder / "local", port=0, extra={**SETTINGS, **QUICK})) as running:
            yield running


async def test_an_outage_of_ingest_costs_seconds_and_no_hour(stack: Stack) -> None:
    """Killed under load, it is away for a moment; what it missed has its effect, once, and the metric says so."""
    measured = await measure(stack, seconds=1, per_second=20)
    assert measured.missed > 0
    assert measured.balances
    assert max(measured.effects, measured.said) < WANTED_SECONDS
