"""The whole system with another NATS than a single server of its own: none, and a cluster."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import nats

from devstack.options import External, Options
from devstack.stack import Stack
from sluice.contract.subjects import STREAM
from tests.devstack.folders import reachable_folder
from tests.nats_processes import NatsProcess, nats_cluster
from tests.system.account import SINK, draw_up, settle
from tests.system.seen import findings, has_effects_since, takes_from_postgresql
from tests.system.traffic import Traffic
from tests.waiting import until

Running = tuple[Stack, Traffic, "asyncpg.Connection[asyncpg.Record]"]


async def test_sluice_works_without_nats_for_good() -> None:
    """Webhooks take effect, health finds nothing of a stream, and no log speaks of one."""
    async with started(Options(folder=Path(), port=0, wants_nats=False)) as (stack, traffic, books):
        assert await traffic.burst([traffic.payment() for _ in range(50)], times=2) == [200] * 100
        async with traffic.flowing(per_second=40):
            await traffic.acknowledged_more(80, within_seconds=30)
        await settle(books, within_seconds=60)
        assert (await draw_up(books, traffic.acknowledged)).balances
        await until(lambda: _finds_nothing(stack), within_seconds=30)
        said = [service.log.read_text(errors="replace").lower() for service in stack.services.values()]
    assert not any("nats" in text or "publish" in text for text in said)


async def test_a_cluster_may_lose_the_streams_leader(tmp_path: Path, database_url: str) -> None:
    """One node of three dies under load, the one that leads; effects go on, once each, and the stream comes back."""
    async with nats_cluster(tmp_path) as servers:
        urls = ",".join(server.url for server in servers)
        external = External(database_url, urls, "development", may_migrate=False)
        options = Options(folder=Path(), port=0, external=external, extra={"STREAM_REPLICAS": "3"})
        async with started(options) as (stack, traffic, books):
            async with traffic.flowing(per_second=40):
                await traffic.acknowledged_more(60, within_seconds=30)
                leader = await leader_of(servers)
                assert leader is not None
                began = await books.fetchval("SELECT now()")
                leader.child.kill()
                await until(lambda: has_effects_since(books, began, 100), within_seconds=60)
                await until(lambda: has_another_leader(servers, leader), within_seconds=60)
                await until(lambda: takes_from_postgresql(stack, wanted=False), within_seconds=60)
                await traffic.acknowledged_more(60, within_seconds=30)
            await settle(books, within_seconds=60)
            assert (await draw_up(books, traffic.acknowledged)).balances


@asynccontextmanager
async def started(options: Options) -> AsyncIterator[Running]:
    """A stack in a folder of its own, with rows of ``events`` to pay for."""
    with reachable_folder() as folder:
        async with Stack(replace(options, folder=folder / "local")) as stack:
            books = await asyncpg.connect(stack.database_url)
            try:
                await books.execute(SINK)
                rows = await books.fetch("INSERT INTO events (name) VALUES ('a'), ('b') RETURNING id::text")
                yield stack, Traffic(stack.gateway_url, stack.webhook_secret, [row["id"] for row in rows]), books
            finally:
                books.terminate()


async def leader_of(servers: Sequence[NatsProcess]) -> NatsProcess | None:
    """The node that leads the stream, if one does; it has three copies."""
    for server in servers:
        if server.child.exit_code is not None:
            continue
        client = await nats.connect(server.url)
        try:
            answer = json.loads((await client.request(f"$JS.API.STREAM.INFO.{STREAM}", timeout=5)).data)
        finally:
            await client.close()
        assert answer["config"]["num_replicas"] == 3
        name = answer["cluster"].get("leader")
        return next((node for node in servers if node.name == name), None)
    return None


async def has_another_leader(servers: Sequence[NatsProcess], lost: NatsProcess) -> bool:
    """Whether those that are left found one."""
    try:
        leader = await leader_of(servers)
    except TimeoutError:
        return False
    return leader is not None and leader is not lost


async def _finds_nothing(stack: Stack) -> bool:
    return not await findings(stack)
