"""The load generator: what it sends is a webhook, and what it counts is true."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bench.load import Order
from bench.processes import send
from ingest.auth.signature import verify
from sluice.contract.envelope import read_event

SECRET = "whsec_bench"


@asynccontextmanager
async def _server(statuses: list[int]) -> AsyncIterator[tuple[int, list[str]]]:
    """Verifies, keeps the ids, and answers with these, one after the other, then 200."""
    received: list[str] = []

    async def receive(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        event = read_event(body)
        signature = verify(body, request.headers["Stripe-Signature"], [SECRET], now=event.created)
        assert signature.secret == SECRET
        received.append(event.stripe_event_id)
        await asyncio.sleep(0)
        return web.Response(status=statuses.pop(0) if statuses else 200)

    runner = web.ServerRunner(web.Server(receive))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1], received
    finally:
        await runner.cleanup()


async def test_every_prepared_webhook_is_sent_once_and_counted() -> None:
    """Whatever is not 200 is refused, not acknowledged."""
    async with _server([500, 503]) as (port, received):
        tally = await send(Order(port, SECRET, connections=4, seconds=30, first_serial=0, prepared=50))
    assert len(set(received)) == len(received) == 50
    assert (tally["acknowledged"], tally["refused"]) == (48, 2)
    assert 0 < tally["p50_ms"] <= tally["p99_ms"]


async def test_a_fixed_rate_is_kept_and_each_event_has_its_moment() -> None:
    """The moments are those at which the requests were due, not those at which a connection was free."""
    order = Order(0, SECRET, connections=2, seconds=0.5, first_serial=0, prepared=1000, per_second=100)
    async with _server([]) as (port, received):
        tally = await send(Order(port, *_rest(order)))
    started: dict[str, float] = tally["started"]  # type: ignore[assignment]
    moments = list(started.values())
    assert list(started) == received
    assert len(moments) == 50
    assert moments[-1] - moments[0] == pytest.approx(0.49, abs=0.05)


def _rest(order: Order) -> tuple[str, int, float, int, int, bool, float]:
    return (
        order.secret,
        order.connections,
        order.seconds,
        order.first_serial,
        order.prepared,
        order.again,
        order.per_second,
    )
