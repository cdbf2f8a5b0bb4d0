"""A pause of the whole system under load, with processors that are killed: it ends as if there had been none."""

import os
import signal

import asyncpg
import pytest

from devstack.stack import Stack
from tests.system.traffic import Traffic
from tests.waiting import until

Books = asyncpg.Connection

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
_PAUSE = "SELECT sluice_begin_pause('handler', 'processor.payments.ledger.apply_facts', 'it pays twice', 'ada')"
_RESUME = "SELECT * FROM sluice_end_pauses(ARRAY[$1::bigint], 'mended', 'ada')"
_OPEN = "SELECT count(*) FROM webhook_logs WHERE NOT processed AND dead_at IS NULL"
_WAITING = "SELECT count(*) FROM paused_webhook"


@pytest.mark.parametrize("without_nats", [False, True], ids=["nats", "without_nats"])
async def test_a_pause_under_load_ends_as_if_there_had_been_none(
    stack: Stack, traffic: Traffic, books: "Books[asyncpg.Record]", without_nats: bool
) -> None:
    """Processors are killed while it is in force and while it lets go; each payment has one effect, and no attempt."""
    if without_nats:
        await stack.servers.nats.stop()
    async with traffic.flowing(per_second=40):
        await traffic.acknowledged_more(40, within_seconds=60)
        pause_id = await books.fetchval(_PAUSE)
        await until(lambda: _is_at_least(books, _WAITING, 40), within_seconds=60)
        _kill(stack)
        assert set(await traffic.burst([traffic.payment() for _ in range(300)], times=2)) == {200}
        await until(lambda: _is_at_least(books, _WAITING, 380), within_seconds=90)
        await _nothing_runs(books)
        await books.fetch(_RESUME, pause_id)
        await until(lambda: _has_let_go(books), within_seconds=60)
        _kill(stack)
        await traffic.acknowledged_more(40, within_seconds=60)
    if without_nats:
        await stack.servers.nats.restart()
    await until(lambda: _is_none(books, _OPEN), within_seconds=120)
    assert await _effects(books) == {1}
    assert await books.fetchval(_WAITING) == 0
    row = await books.fetchrow(
        "SELECT count(*) AS webhooks, max(processing_attempts) AS attempts, count(dead_at) AS dead,"
        " count(*) FILTER (WHERE outcome <> 'applied') AS others FROM webhook_logs"
        " WHERE stripe_event_id LIKE 'evt_flow%'"
    )
    assert row is not None
    assert dict(row) == {"webhooks": len(traffic.acknowledged), "attempts": 0, "dead": 0, "others": 0}
    paid = await books.fetchval("SELECT count(*) FROM events WHERE id::text = ANY ($1) AND payment_status = 'paid'",
                                traffic.events)  # fmt: skip
    assert paid == len(traffic.events)


async def _nothing_runs(books: "Books[asyncpg.Record]") -> None:
    """Fail where something runs, is published again and again, or counts as due, while webhooks go on coming."""
    processed = await books.fetchval("SELECT count(*) FROM webhook_logs WHERE processed")
    before = await books.fetchval(_WAITING)
    await until(lambda: _is_at_least(books, _WAITING, before + 60), within_seconds=60)
    assert await books.fetchval("SELECT count(*) FROM webhook_logs WHERE processed") == processed
    often = await books.fetchval(
        "SELECT max(publications) FROM webhook_logs JOIN paused_webhook USING (stripe_event_id)"
    )
    assert often <= 2  # the second where the processor that held the message was killed
    assert await books.fetchval("SELECT sluice_count_due(10000)") < before


async def _effects(books: "Books[asyncpg.Record]") -> set[int]:
    rows = await books.fetch("SELECT count(*) AS times FROM effect GROUP BY stripe_event_id")
    return {row["times"] for row in rows}


async def _is_at_least(books: "Books[asyncpg.Record]", query: str, number: int) -> bool:
    return bool(await books.fetchval(query) >= number)


async def _is_none(books: "Books[asyncpg.Record]", query: str) -> bool:
    return bool(await books.fetchval(query) == 0)


async def _has_let_go(books: "Books[asyncpg.Record]") -> bool:
    """Whether some have gone; with more than one step's worth, others still wait."""
    return bool(await books.fetchval("SELECT count(resumed_at) FROM webhook_logs"))


def _kill(stack: Stack) -> None:
    """As an OOM killer does; the stack starts another one."""
    os.kill(stack.services["processor"].pid, signal.SIGKILL)
