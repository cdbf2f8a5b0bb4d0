"""A pod's end, without a cluster: what was accepted is answered, what was begun commits, and the code is 0."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import aiohttp
import asyncpg
import pytest

from sluice.simulator.signature import sign
from tests.chart.helm import pod_specs, render, settings_of
from tests.chart.terminated import Callers, End, Pod, status, terminate
from tests.system.traffic import PATH, payment_succeeded
from tests.waiting import until

ROUNDS = 10 if os.environ.get("CI") else 3  # thirty starts of a process are half a minute
CALLERS = 6
SECRET = "whsec_termination"
ANSWERS_FIRST = 3 * CALLERS
_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'sluice-processor' AND wait_event_type = 'Lock'
"""
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
    processor = Pod("processor", {**own["processor"], "LOCK_SECONDS": "3.9"})
    targets = ",".join(f"{pod.name}=http://127.0.0.1:{pod.admin_port}" for pod in (ingest, processor))
    watching = {"HEALTH_TARGETS": targets, "HEALTH_PERIOD_SECONDS": "1"}
    return ingest, processor, Pod("healthd", {**own["healthd"], **watching})


@pytest.mark.timeout(240)
async def test_ends_under_load_drop_nothing(pods: Sequence[Pod], database_url: str) -> None:
    """SIGTERM to all three under load, again and again: readiness first, code 0 in time, and the books balance."""
    ingest, processor, _ = pods
    sent = Sent(ingest.public_port)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
        for _ in range(ROUNDS):
            ends, received, told = await _one_round(pods, session, sent, database_url)
            for pod, end in zip(pods, ends, strict=True):
                assert end.exit_code == 0, pod.name
                assert end.seconds < float(pod.environment["DRAIN_SECONDS"]), pod.name
            assert not sent.lost
            assert set(received) == {200}
            assert set(told) <= {200, 503}, "healthd was asked and did not answer"
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


async def _one_round(
    pods: Sequence[Pod], session: aiohttp.ClientSession, sent: Sent, database_url: str
) -> tuple[Sequence[End], Sequence[int], Sequence[int]]:
    """Start all, load them, end all at the same moment: requests under way, and a batch that waits for a row."""
    health = f"http://127.0.0.1:{pods[2].public_port}/api/health"
    callers, watchers = Callers(partial(sent.send, session)), Callers(partial(status, session, health))
    async with AsyncExitStack() as stack:
        processes = await asyncio.gather(*(stack.enter_async_context(pod.running(session)) for pod in pods))
        async with _calling(callers), _calling(watchers), _locked_facts(database_url) as facts:
            await until(lambda: len(callers.answers) > ANSWERS_FIRST and len(watchers.answers) > ANSWERS_FIRST)
            await facts.lock()
            await until(facts.is_waited_for, what="a batch under way")
            heard = (callers.stop, facts.release, watchers.stop)
            ending = zip(pods, processes, heard, strict=True)
            ends = await asyncio.gather(*(terminate(*one, session=session) for one in ending))
    return ends, callers.answers, watchers.answers


@dataclass(frozen=True)
class Facts:
    """The payments' facts, which a processor must write to."""

    connection: "asyncpg.Connection[asyncpg.Record]"

    async def lock(self) -> None:
        """Make writers wait from now on."""
        await self.connection.execute("BEGIN; LOCK TABLE payment_fact IN SHARE MODE")

    async def is_waited_for(self) -> bool:
        """Whether a processor has a batch under way that waits."""
        return bool(await self.connection.fetchval(_WAITING))

    async def release(self) -> None:
        """Let the batch commit."""
        await self.connection.execute("ROLLBACK")


@asynccontextmanager
async def _locked_facts(database_url: str) -> AsyncIterator[Facts]:
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        yield Facts(connection)
    finally:
        await connection.close(timeout=5)


@asynccontextmanager
async def _calling(callers: Callers) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(callers.call())
        yield
        callers.is_ready = False


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
