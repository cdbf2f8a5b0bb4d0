"""
How long after each fault's end the backlog is empty: ``make recovery`` prints a table.

The load goes on all the time; the backlog is empty when no webhook has waited for more than a second.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from devstack.options import Options
from devstack.stack import Stack
from tests.full_disk import full_disk
from tests.system.account import FRESH, SINK, draw_up, settle
from tests.system.seen import takes_from_postgresql
from tests.system.traffic import Traffic
from tests.waiting import until

PER_SECOND = 100
WANTED_SECONDS = 10.0
_GIVEN_UP_SECONDS = 90.0
_EVENTS = 20
_OPEN = "SELECT count(*) FROM webhook_logs WHERE NOT processed AND created_at < $1::timestamptz + interval '2 seconds'"
_LAST_LATE = """
SELECT coalesce(max(extract(epoch FROM processed_at - $1::timestamptz)), 0)::float8
FROM webhook_logs WHERE processed_at - created_at > interval '1 second' AND processed_at > $1
"""
_WAITS = """
SELECT percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY extract(epoch FROM processed_at - created_at))
FROM webhook_logs WHERE created_at >= $1 AND created_at < $2
"""
Fault = Callable[[Stack], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Measured:
    """One fault, and what came of it; seconds."""

    fault: str
    recovery: float
    waited: tuple[float, float, float]
    """From receipt to effect during the fault: the median, the 99th percentile and the longest."""
    balances: bool


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
    while stack.servers.postgres.pid == killed:
        await asyncio.sleep(0.05)


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


FAULTS: dict[str, Fault] = {
    "nats stopped": nats_stopped,
    "nats wiped": nats_wiped,
    "nats frozen": nats_frozen,
    "nats disk full": nats_disk_full,
    "processor killed": processor_killed,
    "processor frozen": processor_frozen,
    "postgres killed": postgres_killed,
    "postgres silent": postgres_silent,
    "postgres stopped": postgres_stopped,
}


async def measure(stack: Stack, name: str, *, seconds: float) -> Measured:
    """Let one fault last for so long, under load."""
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute(FRESH)
    await connection.execute(SINK)
    rows = await connection.fetch(
        "INSERT INTO events (name) SELECT 'recovery ' || n FROM generate_series(1, $1) AS n RETURNING id::text", _EVENTS
    )
    await connection.close()
    traffic = Traffic(stack.gateway_url, stack.webhook_secret, [row["id"] for row in rows])
    async with traffic.flowing(per_second=PER_SECOND):
        await traffic.acknowledged_more(2 * PER_SECOND, within_seconds=60)
        if stack.options.wants_nats:
            await until(lambda: takes_from_postgresql(stack, wanted=False), within_seconds=60)
        began = datetime.now(UTC)
        async with FAULTS[name](stack):
            await asyncio.sleep(seconds)
        ended = datetime.now(UTC)
        connection = await _connected(stack)
        await traffic.acknowledged_more(3 * PER_SECOND, within_seconds=60)
        await until(lambda: _is_empty(connection, ended), within_seconds=_GIVEN_UP_SECONDS)
    recovery = await connection.fetchval(_LAST_LATE, ended)
    waited = await connection.fetchval(_WAITS, began, ended)
    await settle(connection, within_seconds=_GIVEN_UP_SECONDS)
    account = await draw_up(connection, traffic.acknowledged)
    await connection.close()
    return Measured(name, recovery, tuple(waited or (0, 0, 0)), account.balances)


async def _connected(stack: Stack) -> "asyncpg.Connection[asyncpg.Record]":
    while True:
        try:
            return await asyncpg.connect(stack.database_url, timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            await asyncio.sleep(0.1)


async def _is_empty(connection: "asyncpg.Connection[asyncpg.Record]", ended: datetime) -> bool:
    return not await connection.fetchval(_OPEN, ended)


async def run(names: list[str], *, seconds: float, wants_nats: bool) -> bool:
    """Measure each; whether all were quick enough and nothing was lost or done twice."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-recovery-"))
    folder.chmod(0o711)
    sys.stdout.write(f"{'fault':<18} {'recovery':>9} {'p50':>7} {'p99':>7} {'longest':>8}  books\n")
    is_well = True
    try:
        async with Stack(Options(folder=folder / "local", port=0, wants_nats=wants_nats)) as stack:
            for name in names:
                measured = await measure(stack, name, seconds=seconds)
                _print(measured)
                is_well = is_well and measured.balances and measured.recovery <= WANTED_SECONDS
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return is_well


def _print(measured: Measured) -> None:
    p50, p99, longest = measured.waited
    books = "balance" if measured.balances else "DO NOT BALANCE"
    sys.stdout.write(
        f"{measured.fault:<18} {measured.recovery:>9.1f} {p50:>7.2f} {p99:>7.2f} {longest:>8.2f}  {books}\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Seconds from each fault's end to an empty backlog.")
    parser.add_argument("faults", nargs="*", metavar="fault", help=", ".join(FAULTS))
    parser.add_argument("--seconds", type=float, default=8, help="how long each fault lasts")
    parser.add_argument("--without-nats", action="store_true", help="run Sluice without NATS")
    arguments = parser.parse_args()
    names = arguments.faults or [n for n in FAULTS if not (arguments.without_nats and n.startswith("nats"))]
    is_well = asyncio.run(run(names, seconds=arguments.seconds, wants_nats=not arguments.without_nats))
    raise SystemExit(0 if is_well else 1)


if __name__ == "__main__":
    main()
