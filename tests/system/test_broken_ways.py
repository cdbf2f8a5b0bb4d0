"""The way to a server breaks, and not the server: nothing is lost or doubled, and no attempt is counted for it."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from devstack.options import Options
from devstack.stack import Stack
from tests.system import faults
from tests.system.account import draw_up, settle
from tests.system.proxied import ProxiedServers
from tests.system.seen import findings, has_effects_since, takes_from_postgresql
from tests.system.traffic import Traffic
from tests.waiting import until

Books = asyncpg.Connection

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    """The whole system, with a proxy before each server for each service."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-stack-"))
    folder.chmod(0o711)
    stack = Stack(Options(folder=folder / "local", port=0))
    stack.servers = ProxiedServers(stack.folder)
    try:
        async with stack:
            yield stack
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("fault", [faults.nats_reset, faults.nats_slow, faults.nats_partitioned])
async def test_effects_go_on_while_the_way_to_nats_is_bad(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]", fault: faults.Fault
) -> None:
    """Those of webhooks that come within the fault."""
    async with traffic.flowing(per_second=40):
        await until(lambda: takes_from_postgresql(stack, wanted=False), within_seconds=60)
        async with fault(stack):
            began = await books.fetchval("SELECT now()")
            await until(lambda: has_effects_since(books, began, 100), within_seconds=60)
            await until(lambda: _says_stream_down(stack, wanted=True), within_seconds=60)
        await until(lambda: _says_stream_down(stack, wanted=False), within_seconds=60)
        await until(lambda: takes_from_postgresql(stack, wanted=False), within_seconds=60)
    await _settled(traffic, books)


async def test_answers_of_postgresql_that_do_not_arrive_cost_no_attempt(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]"
) -> None:
    """It is not known then whether a statement took effect; each takes effect once."""
    async with traffic.flowing(per_second=40):
        await traffic.acknowledged_more(40, within_seconds=30)
        async with faults.postgres_answers_lost(stack):
            await until(lambda: _was_felt(traffic), within_seconds=60)
        await traffic.acknowledged_more(40, within_seconds=60)
    await _settled(traffic, books)
    assert await books.fetchval("SELECT count(*) FROM webhook_logs WHERE processing_attempts > 0") == 0


async def test_half_answers_of_postgresql_lose_and_double_nothing(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]"
) -> None:
    """Each connection breaks at another moment, so some may have an attempt for it."""
    async with traffic.flowing(per_second=40):
        await traffic.acknowledged_more(40, within_seconds=30)
        async with faults.postgres_half_answers(stack):
            await until(lambda: _was_felt(traffic), within_seconds=60)
        await traffic.acknowledged_more(40, within_seconds=60)
    await _settled(traffic, books)


async def _says_stream_down(stack: Stack, *, wanted: bool) -> bool:
    return ("stream_down" in await findings(stack)) is wanted


def _was_felt(traffic: Traffic) -> bool:
    """Whether some were refused; or many were not, for ingest asks again."""
    return traffic.answers.total() > traffic.answers[200] + 5 or len(traffic.acknowledged) > 300


async def _settled(traffic: Traffic, books: "Books[asyncpg.Record]") -> None:
    await settle(books, within_seconds=60)
    assert (await draw_up(books, traffic.acknowledged)).balances
