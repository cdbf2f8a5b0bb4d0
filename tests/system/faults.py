"""Faults of the whole system, each as a block in which it lasts."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import asyncpg

from devstack.stack import Stack
from sluice.simulator.signature import sign
from tests.full_disk import full_disk
from tests.proxy import Proxy
from tests.system.killer import EVENT_TYPE
from tests.system.proxied import ProxiedServers
from tests.system.traffic import PATH, payment_succeeded
from tests.waiting import until

Fault = Callable[[Stack], AbstractAsyncContextManager[None]]
_RESET_SECONDS = 1.0
_END_SECONDS = 10.0
_KILLER = "evt_killer"


@asynccontextmanager
async def calm(_: Stack) -> AsyncIterator[None]:
    """Nothing is wrong."""
    yield


@asynccontextmanager
async def nats_stopped(stack: Stack) -> AsyncIterator[None]:
    """It is away and its store stays."""
    await stack.servers.nats.stop()
    yield
    await stack.servers.nats.restart()


@asynccontextmanager
async def nats_wiped(stack: Stack) -> AsyncIterator[None]:
    """It comes back with nothing."""
    await stack.servers.nats.wipe()
    yield
    await stack.servers.nats.restart()


@asynccontextmanager
async def nats_disk_full(stack: Stack) -> AsyncIterator[None]:
    """It answers and stores nothing."""
    with full_disk(stack.servers.nats.pid, stack.servers.nats.folder):
        yield


@asynccontextmanager
async def nats_frozen(stack: Stack) -> AsyncIterator[None]:
    """It has its connections and says nothing."""
    with _stopped(stack.servers.nats.pid):
        yield


@asynccontextmanager
async def processor_frozen(stack: Stack) -> AsyncIterator[None]:
    """It has its messages and does nothing."""
    with _stopped(stack.services["processor"].pid):
        yield


@asynccontextmanager
async def processor_killed(stack: Stack) -> AsyncIterator[None]:
    """At once; it is started again."""
    yield
    stack.services["processor"].kill()


@asynccontextmanager
async def postgres_killed(stack: Stack) -> AsyncIterator[None]:
    """The postmaster dies; the stack starts it again, and only then has the fault an end."""
    yield
    killed = stack.servers.postgres.pid
    stack.servers.postgres.kill()
    await until(lambda: stack.servers.postgres.pid != killed, within_seconds=60, what="PostgreSQL is started again")


@asynccontextmanager
async def postgres_silent(stack: Stack) -> AsyncIterator[None]:
    """Every one of its processes has its connections and says nothing."""
    children = Path(f"/proc/{stack.servers.postgres.pid}/task/{stack.servers.postgres.pid}/children").read_text()
    with contextlib.ExitStack() as stopped:
        for pid in (stack.servers.postgres.pid, *map(int, children.split())):
            stopped.enter_context(_stopped(pid))
        yield


@asynccontextmanager
async def postgres_stopped(stack: Stack) -> AsyncIterator[None]:
    """By order, and started again."""
    await stack.servers.postgres.stop()
    yield
    await stack.servers.postgres.restart()


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def nats_reset(stack: Stack) -> AsyncIterator[None]:
    """Every connection to it is reset, once a second."""
    cutting = asyncio.create_task(_cut_again_and_again(_proxied(stack).all_to_nats))
    try:
        yield
    finally:
        was_cutting = cutting.cancel()
        await asyncio.wait([cutting], timeout=_END_SECONDS)
    assert was_cutting, "the connections were not cut to the end"


@asynccontextmanager
async def nats_slow(stack: Stack) -> AsyncIterator[None]:
    """Each piece comes 0.3 seconds late, and 20 KB a second at most."""
    for proxy in _proxied(stack).all_to_nats:
        proxy.delay_seconds, proxy.bytes_per_second = 0.3, 20_000
    yield
    for proxy in _proxied(stack).all_to_nats:
        proxy.delay_seconds, proxy.bytes_per_second = 0, None


@asynccontextmanager
async def nats_partitioned(stack: Stack) -> AsyncIterator[None]:
    """The processor's packets reach it no more, and no side is told."""
    _proxied(stack).to_nats["processor"].part()
    yield
    _proxied(stack).to_nats["processor"].join()


@asynccontextmanager
async def postgres_answers_lost(stack: Stack) -> AsyncIterator[None]:
    """It hears all and does all, and nothing that it says arrives."""
    for proxy in _proxied(stack).all_to_postgres:
        proxy.loses_answers = True
    yield
    for proxy in _proxied(stack).all_to_postgres:
        proxy.loses_answers = False


@asynccontextmanager
async def postgres_half_answers(stack: Stack) -> AsyncIterator[None]:
    """Of twenty answers one ends in its middle, and the connection with it."""
    for proxy in _proxied(stack).all_to_postgres:
        proxy.halves_every = 20
    yield
    for proxy in _proxied(stack).all_to_postgres:
        proxy.halves_every = None


@asynccontextmanager
async def event_kills_processor(stack: Stack) -> AsyncIterator[None]:
    """One event ends the process that runs it, until it is dead; only then has the fault an end."""
    body = payment_succeeded(_KILLER, "pi_killer", events_id="").replace(
        b"payment_intent.succeeded", EVENT_TYPE.encode()
    )
    headers = {
        "Content-Type": "application/json",
        "Stripe-Signature": sign(body, [stack.webhook_secret], timestamp=int(time.time())),
    }
    async with aiohttp.ClientSession() as session:
        (await session.post(stack.gateway_url + PATH, data=body, headers=headers)).raise_for_status()
    yield
    connection = await asyncpg.connect(stack.database_url)
    try:
        await until(lambda: _is_dead(connection), within_seconds=120, what="the event that kills is dead")
        await connection.execute("DELETE FROM webhook_logs WHERE stripe_event_id = $1", _KILLER)
    finally:
        await connection.close()


async def _is_dead(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return bool(
        await connection.fetchval("SELECT dead_at IS NOT NULL FROM webhook_logs WHERE stripe_event_id = $1", _KILLER)
    )


async def _cut_again_and_again(proxies: Sequence[Proxy]) -> None:
    while True:
        for proxy in proxies:
            proxy.cut()
        await asyncio.sleep(_RESET_SECONDS)  # the fault itself


def _proxied(stack: Stack) -> ProxiedServers:
    assert isinstance(stack.servers, ProxiedServers)
    return stack.servers


FAULTS: dict[str, Fault] = {
    "calm": calm,
    "nats stopped": nats_stopped,
    "nats wiped": nats_wiped,
    "nats frozen": nats_frozen,
    "nats disk full": nats_disk_full,
    "nats reset": nats_reset,
    "nats slow": nats_slow,
    "nats partitioned": nats_partitioned,
    "processor killed": processor_killed,
    "processor frozen": processor_frozen,
    "event kills": event_kills_processor,
    "postgres killed": postgres_killed,
    "postgres silent": postgres_silent,
    "postgres stopped": postgres_stopped,
    "answers lost": postgres_answers_lost,
    "half answers": postgres_half_answers,
}
