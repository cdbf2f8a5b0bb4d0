"""A pod's end, without a cluster: what was accepted is answered, what was begun commits, and the code is 0."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import aiohttp
import asyncpg
import pytest

from sluice.simulator.signature import sign
from tests.chart.helm import pod_specs, render, settings_of
from tests.chart.terminated import Callers, End, Pod, status, terminate
from tests.system.traffic import PATH, payment_succeeded

ROUNDS = 10 if os.environ.get("CI") else 3  # thirty starts of a process are half a minute
CALLERS = 6
SECRET = "whsec_termination"
LOAD_SECONDS = 0.2
SPECS = pod_specs(render({"secrets": {"name": "sluice"}}))


@pytest.fixture
async def pods(role_url: Callable[[str], str], nats_url: str) -> Sequence[Pod]:
    """The three services, with the chart's own settings for their end."""
    own = {
        name: {
            "DATABASE_URL": role_url(name),
            "NATS_URL": nats_url,
            "DRAIN_SECONDS": settings_of(SPECS[f"Deployment/{name}"])["DRAIN_SECONDS"],
        }
        for name in ("ingest", "processor", "healthd")
    }
    ingest = Pod("ingest", {**own["ingest"], "STRIPE_WEBHOOK_SECRET": SECRET})
    processor = Pod("processor", own["processor"])
    targets = ",".join(f"{pod.name}=http://127.0.0.1:{pod.admin_port}" for pod in (ingest, processor))
    return ingest, processor, Pod("healthd", {**own["healthd"], "HEALTH_TARGETS": targets})


@pytest.mark.timeout(240)
async def test_ends_under_load_drop_nothing(pods: Sequence[Pod], database_url: str) -> None:
    """SIGTERM to all three, again and again, as webhooks come in: code 0 each time, in time, and the books balance."""
    ingest, processor, _ = pods
    sent = Sent(ingest.public_port)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
        for _ in range(ROUNDS):
            ends, callers = await _one_round(pods, session, sent)
            for pod, end in zip(pods, ends, strict=True):
                assert end.exit_code == 0, pod.name
                assert end.seconds < float(pod.environment["DRAIN_SECONDS"]), pod.name
            assert ends[0].was_unready_first
            assert not sent.lost
            assert set(callers.answers) == {200}
        async with processor.running(session):
            await _settled(database_url, sent.acknowledged)


class Sent:
    """Webhooks that were acknowledged, and how to send one more."""

    def __init__(self, port: int) -> None:
        self.acknowledged: set[str] = set()
        self.lost: list[aiohttp.ClientError] = []
        self._url = f"http://127.0.0.1:{port}{PATH}"
        self._count = 0

    async def send(self, session: aiohttp.ClientSession) -> int:
        """One more, on a connection of its own; 0 when the connection was refused or lost."""
        self._count += 1
        name = f"evt_end{self._count}"
        body = payment_succeeded(name, f"pi_end{self._count}", events_id="")
        signature = sign(body, [SECRET], timestamp=int(time.time()))
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature}
        try:
            async with session.post(self._url, data=body, headers=headers) as answer:
                if answer.status == 200:
                    self.acknowledged.add(name)
                return answer.status
        except aiohttp.ClientError as error:
            self.lost.append(error)
            return 0


async def _one_round(pods: Sequence[Pod], session: aiohttp.ClientSession, sent: Sent) -> tuple[Sequence[End], Callers]:
    """Start all, load them, end all at the same moment."""
    async with AsyncExitStack() as stack:
        processes = await asyncio.gather(*(stack.enter_async_context(pod.running(session)) for pod in pods))
        callers, watchers = Callers(), Callers()
        health = f"http://127.0.0.1:{pods[2].public_port}/api/health"
        async with _calling(callers, partial(sent.send, session)), _calling(watchers, partial(status, session, health)):
            await asyncio.sleep(LOAD_SECONDS)
            ends = await asyncio.gather(
                *(
                    terminate(pod, process, session, group)
                    for pod, process, group in zip(pods, processes, (callers, Callers(), watchers), strict=True)
                )
            )
        return ends, callers


@asynccontextmanager
async def _calling(callers: Callers, ask: Callable[[], Awaitable[int]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(callers.call(ask))
        yield


async def _settled(database_url: str, acknowledged: set[str]) -> None:
    """Wait until each acknowledged webhook is processed, none of them after a failed attempt."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval("SELECT count(*) FROM webhook_logs WHERE NOT processed"):
                await asyncio.sleep(0.1)
        rows = await connection.fetch("SELECT stripe_event_id, processing_attempts FROM webhook_logs")
    finally:
        await connection.close(timeout=5)
    assert {row["stripe_event_id"] for row in rows} == acknowledged
    assert {row["processing_attempts"] for row in rows} == {0}
    assert len(rows) > ROUNDS * CALLERS
