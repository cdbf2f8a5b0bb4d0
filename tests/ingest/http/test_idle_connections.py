"""The choice of connections to close when all are taken."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest

from ingest.http.idle_connections import Wait, address_of, connections_to_close
from tests.ingest.raw import raw, request, status
from tests.ingest.running import NOWHERE, running
from tests.ingest.webhooks import webhook
from tests.metrics import counted
from tests.waiting import until


@dataclass(frozen=True)
class Client:
    """One client's connection."""

    address: str
    wait: Wait = Wait.IDLE
    waits_since: float = 0


def crowd(address: str, number: int, wait: Wait = Wait.IDLE, since: float = 0) -> list[Client]:
    """So many alike; each a little younger than the one before."""
    return [Client(address, wait, since + place / 1000) for place in range(number)]


def test_the_address_that_holds_most_gives_way() -> None:
    """Though its connections are younger than all others."""
    few, many = crowd("10.0.0.1", 20, since=0), crowd("10.0.0.2", 44, since=50)
    assert connections_to_close([*few, *many], 64, now=100) == many[:2]


def test_an_idle_connection_goes_before_an_unfinished_one_of_an_address_with_more() -> None:
    """As a proxy's slow uploads are, which hold most."""
    proxy, idle = crowd("10.0.0.1", 30, Wait.UNFINISHED), crowd("10.0.0.2", 3, since=50)
    assert connections_to_close([*proxy, *idle], 64, now=100) == idle[:2]


def test_half_way_connections_of_one_address_past_half_of_all_give_way() -> None:
    """An idle connection of another address stays."""
    slow, idle = crowd("10.0.0.1", 60, Wait.UNFINISHED), crowd("10.0.0.2", 4)
    assert connections_to_close([*slow, *idle], 64, now=100) == slow[:2]


def test_who_waits_for_us_or_has_just_begun_is_never_closed() -> None:
    """Then the newcomer is told that there are too many."""
    ours, begun = crowd("10.0.0.1", 32, Wait.OURS), crowd("10.0.0.1", 32, Wait.UNFINISHED, since=99.5)
    assert connections_to_close([*ours, *begun], 64, now=100) == []


def test_behind_a_proxy_the_longest_idle_one_goes() -> None:
    """All have one address, so it decides nothing."""
    idle, busy = crowd("10.0.0.1", 10), crowd("10.0.0.1", 22, Wait.OURS)
    assert connections_to_close([*busy, *reversed(idle)], 32, now=100) == idle[:1]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.7", 4711), "192.0.2.7"),
        (("::ffff:192.0.2.7", 4711, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 4711, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 4711, 0, 2), "fe80::/64"),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_of_ipv6_is_its_network(peer: object, address: str) -> None:
    """One client has all of it."""
    assert address_of(peer) == address


async def test_idle_connections_of_one_client_keep_no_other_out(database_url: str) -> None:
    """It fills all places; a hundred webhooks on new connections get a hundred times 200, and none is refused."""
    limit = 64
    refused = counted("http_connections_cut_total", reason="too_many")
    closed = counted("http_connections_cut_total", reason="idle") or 0
    async with running(database_url, NOWHERE, connections_max=limit) as ingest, AsyncExitStack() as idle:
        for _ in range(limit):
            reader, writer = await idle.enter_async_context(raw(ingest.port, seconds=60))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await status(reader) == 404
        answers = []
        for _ in range(100):
            body = webhook()
            async with raw(ingest.port) as (reader, writer):
                writer.write(request(body) + body)
                answers.append(await status(reader))
        assert answers == [200] * 100
    assert counted("http_connections_cut_total", reason="too_many") == refused
    assert (counted("http_connections_cut_total", reason="idle") or 0) > closed


async def test_a_webhook_under_way_keeps_its_place(database_url: str) -> None:
    """The only place there is: a newcomer gets 503 while PostgreSQL writes, and the webhook its 200."""
    body = webhook()
    holder = await asyncpg.connect(database_url)
    try:
        async with running(database_url, NOWHERE, connections_max=1) as ingest, raw(ingest.port) as (reader, writer):
            async with holder.transaction():
                await holder.execute("LOCK TABLE webhook_logs IN SHARE MODE")
                writer.write(request(body) + body)
                await until(lambda: holder.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
                async with raw(ingest.port) as (second, _):
                    assert (await second.read()).startswith(b"HTTP/1.1 503 ")
            assert await status(reader) == 200
    finally:
        await holder.close()


async def test_a_client_that_sends_its_body_slowly_gives_way_with_503(database_url: str) -> None:
    """Not in its first second; then Stripe would try again."""
    body = webhook()
    async with running(database_url, NOWHERE, connections_max=1) as ingest, raw(ingest.port) as (reader, writer):
        writer.write(request(body) + body[:10])
        await asyncio.sleep(1.1)  # its first second
        async with raw(ingest.port) as (second_reader, second_writer):
            second_writer.write(request(body) + body)
            assert await status(second_reader) == 200
        assert await status(reader) == 503
