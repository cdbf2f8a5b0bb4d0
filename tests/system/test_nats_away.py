"""NATS is optional for progress: while it brings nothing, effects go on, once each, and soon."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest

from devstack.stack import Stack
from tests.system.account import draw_up, settle
from tests.system.faults import nats_disk_full, nats_frozen, nats_stopped
from tests.system.seen import has_effects_since, taken_directly, takes_from_postgresql
from tests.system.traffic import Traffic
from tests.waiting import until

Books = asyncpg.Connection

pytestmark = pytest.mark.asyncio(loop_scope="module")

_SLOWEST_SECONDS = 10.0
"""Wanted are three; this machine stalls."""


@pytest.mark.parametrize("fault", [nats_stopped, nats_frozen, nats_disk_full])
async def test_effects_go_on_while_nats_brings_nothing(
    stack: Stack,
    traffic: Traffic,
    books: "Books[asyncpg.Record]",
    fault: Callable[[Stack], AbstractAsyncContextManager[None]],
) -> None:
    """Those of new webhooks, within the fault; while nothing fails before and after it all come by the stream."""
    async with traffic.flowing(per_second=40):
        await until(lambda: takes_from_postgresql(stack, wanted=False), within_seconds=60)
        before = await taken_directly(stack)
        await traffic.acknowledged_more(60, within_seconds=30)
        assert await taken_directly(stack) == before
        async with fault(stack):
            began = await books.fetchval("SELECT now()")
            await until(lambda: has_effects_since(books, began, 100), within_seconds=60)
            slowest = await books.fetchval(
                "SELECT max(extract(epoch FROM processed_at - created_at)) FROM webhook_logs WHERE created_at > $1",
                began,
            )
        await until(lambda: takes_from_postgresql(stack, wanted=False), within_seconds=60)
    await settle(books, within_seconds=60)
    assert (await draw_up(books, traffic.acknowledged)).balances
    assert slowest < _SLOWEST_SECONDS
