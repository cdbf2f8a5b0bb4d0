"""The canary through the whole system: its echo comes, and silence shows where no payment would tell of it."""

import re
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from devstack.options import Options
from devstack.ports import free_port
from devstack.stack import Stack
from tests.devstack.folders import reachable_folder
from tests.system.seen import findings
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

SETTINGS = {"CANARY_SECONDS": "1", "HEALTH_BACKLOG_AGE_SECONDS": "3", "HEALTH_PERIOD_SECONDS": "1"}
ECHO, WAITS = "endpoint_ping_echo_timestamp_seconds", "endpoint_ping_waits_seconds"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    """The whole system at a port that the offline Stripe knows beforehand."""
    with reachable_folder() as folder:
        async with Stack(Options(folder=folder / "local", port=free_port(), extra=SETTINGS)) as running:
            yield running


@pytest.mark.parametrize("service", ["ingest", "processor"])
async def test_silence_shows_while_a_part_of_the_way_is_away(stack: Stack, service: str) -> None:
    """Pings come back; without ingest, or the processor, none does, and health says so; with it they do again."""
    await until(lambda: _echoes_since(stack, time.time() - 5), within_seconds=60)
    await until(lambda: _is_silent(stack, wanted=False))
    await stack.stop_service(service)
    stopped_at = time.time()
    await until(lambda: _is_silent(stack, wanted=True), within_seconds=60)
    assert await _figure(stack, WAITS) > float(SETTINGS["HEALTH_BACKLOG_AGE_SECONDS"])
    assert await _figure(stack, ECHO) <= stopped_at
    await stack.start_service(service)
    began = time.time()
    await until(lambda: _echoes_since(stack, began), within_seconds=60)
    await until(lambda: _is_silent(stack, wanted=False))


async def _echoes_since(stack: Stack, moment: float) -> bool:
    return await _figure(stack, ECHO) >= moment


async def _is_silent(stack: Stack, *, wanted: bool) -> bool:
    return ("canary_silent" in await findings(stack)) is wanted


async def _figure(stack: Stack, name: str) -> float:
    """The value of one gauge of the reconciler; 0: it is not shown."""
    url = f"{stack.services['reconciler'].admin_url}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        found = re.search(rf'^{name}{{mode="test"}} (\S+)$', await answer.text(), re.MULTILINE)
    return float(found[1]) if found else 0.0
