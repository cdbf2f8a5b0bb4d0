"""
Measure the cost of each fault, under load: ``make recovery`` prints a table.

The load goes on all the time; the backlog is empty when no webhook has waited for more than a second. The wait for an
effect begins when its webhook is sent for the first time and ends at its row's ``processed_at``; both are read from one
clock, this machine's. PostgreSQL reads it in the last statement before the commit, which waits for no disk.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from devstack.options import Options
from devstack.stack import Stack
from tests.system.account import FRESH, SINK, draw_up, settle
from tests.system.faults import FAULTS
from tests.system.health_watch import HealthWatch
from tests.system.killer import install
from tests.system.proxied import ProxiedServers
from tests.system.seen import takes_from_postgresql
from tests.system.traffic import Traffic
from tests.waiting import until

PER_SECOND = 100
WANTED_SECONDS = 10.0
WANTED_HEALTH_SECONDS = 15.0
_GIVEN_UP_SECONDS = 90.0
_CONNECT_SECONDS = 10.0
_COMMAND_SECONDS = 30.0
_LONGEST_SECONDS = 600.0
"""Of one fault, with all that is waited for; each wait has a shorter limit of its own."""
_EVENTS = 20
_OPEN = "SELECT count(*) FROM webhook_logs WHERE NOT processed AND created_at < $1::timestamptz + interval '2 seconds'"
_LAST_LATE = """
SELECT coalesce(max(extract(epoch FROM processed_at - $1::timestamptz)), 0)::float8
FROM webhook_logs WHERE processed_at - created_at > interval '1 second' AND processed_at > $1
"""
_PROCESSED = "SELECT stripe_event_id, extract(epoch FROM processed_at)::float8 AS at FROM webhook_logs WHERE processed"
_HEAD = (
    f"{'fault':<17} {'recovery':>8} {'p50':>7} {'p99':>7} {'longest':>8} {'named':>6} {'well':>6}  books     reasons\n"
)
Connection = asyncpg.Connection


@dataclass(frozen=True, slots=True)
class Measured:
    """One fault, and what came of it; seconds."""

    fault: str
    recovery: float
    waited: tuple[float, float, float]
    """From the first POST to the effect, of what was sent during the fault: median, 99th percentile, longest."""
    named: float | None
    """From its begin until health gave a reason; None: it gave none."""
    well: float
    """From its end until health gave none any more."""
    reasons: frozenset[str]
    balances: bool

    @property
    def is_as_wanted(self) -> bool:
        """Whether nothing was lost or done twice, and both backlog and health were well again in time."""
        return self.balances and self.recovery <= WANTED_SECONDS and self.well <= WANTED_HEALTH_SECONDS


async def measure(stack: Stack, name: str, *, seconds: float) -> Measured:
    """Let one fault last for so long, under load."""
    traffic = await _fresh(stack)
    health = HealthWatch(stack.gateway_url)
    async with traffic.flowing(per_second=PER_SECOND, end_within_seconds=_GIVEN_UP_SECONDS), health.looking():
        await traffic.acknowledged_more(2 * PER_SECOND, within_seconds=60)
        if stack.options.wants_nats:
            await until(
                lambda: takes_from_postgresql(stack, wanted=False),
                within_seconds=60,
                what="the processor takes from NATS before the fault",
            )
        usual = health.reasons
        began = time.time(), time.monotonic()
        async with FAULTS[name](stack):
            await asyncio.sleep(seconds)
        ended, ended_at = time.time(), time.monotonic()
        connection = await _connected(stack)
        at_the_end = datetime.fromtimestamp(ended, UTC)
        await traffic.acknowledged_more(3 * PER_SECOND, within_seconds=60)
        await until(
            lambda: _is_empty(connection, at_the_end),
            within_seconds=_GIVEN_UP_SECONDS,
            what="the backlog is empty after the fault",
        )
        await _is_well(health, usual)
    recovery = await connection.fetchval(_LAST_LATE, at_the_end)
    await settle(connection, within_seconds=_GIVEN_UP_SECONDS)
    measured = Measured(
        name,
        recovery,
        _waits(traffic.sent_at, await connection.fetch(_PROCESSED), began[0], ended),
        health.named_after(began[1], usual),
        health.well_after(ended_at, usual),
        health.named(began[1], usual),
        (await draw_up(connection, traffic.acknowledged)).balances,
    )
    await connection.close(timeout=_CONNECT_SECONDS)
    return measured


async def _fresh(stack: Stack) -> Traffic:
    connection = await _connected(stack)
    await connection.execute(FRESH)
    await connection.execute(SINK)
    rows = await connection.fetch(
        "INSERT INTO events (name) SELECT 'recovery ' || n FROM generate_series(1, $1) AS n RETURNING id::text", _EVENTS
    )
    await connection.close(timeout=_CONNECT_SECONDS)
    return Traffic(stack.gateway_url, stack.webhook_secret, [row["id"] for row in rows])


async def _is_well(health: HealthWatch, usual: frozenset[str]) -> None:
    """Wait until health gives no reason, or for so long that it is clear that it does."""
    deadline = time.monotonic() + 2 * WANTED_HEALTH_SECONDS
    while health.reasons - usual and time.monotonic() < deadline:
        await asyncio.sleep(0.1)


def _waits(
    sent_at: Mapping[str, float], rows: "list[asyncpg.Record]", began: float, ended: float
) -> tuple[float, float, float]:
    done = {row["stripe_event_id"]: row["at"] for row in rows}
    waits = sorted(done[each] - at for each, at in sent_at.items() if began <= at < ended and each in done)
    if not waits:
        return (0, 0, 0)
    return waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1]


async def _connected(stack: Stack) -> "Connection[asyncpg.Record]":
    deadline = time.monotonic() + _GIVEN_UP_SECONDS
    while True:
        try:
            return await asyncpg.connect(stack.database_url, timeout=_CONNECT_SECONDS, command_timeout=_COMMAND_SECONDS)
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"no connection to PostgreSQL within {_GIVEN_UP_SECONDS:g} s") from error
            await asyncio.sleep(0.1)


async def _is_empty(connection: "Connection[asyncpg.Record]", ended: datetime) -> bool:
    return not await connection.fetchval(_OPEN, ended)


async def run(names: list[str], *, seconds: float, wants_nats: bool) -> bool:
    """Measure each; whether all were quick enough and nothing was lost or done twice."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-recovery-"))
    folder.chmod(0o711)
    sys.stdout.write(_HEAD)
    is_well = True
    try:
        plugins = {"PYTHONPATH": install(folder / "plugins")}
        stack = Stack(Options(folder=folder / "local", port=0, wants_nats=wants_nats, extra=plugins))
        stack.servers = ProxiedServers(stack.folder, wants_nats=wants_nats)
        async with stack:
            for name in names:
                measured = await _in_time(name, measure(stack, name, seconds=seconds))
                _print(measured)
                is_well = is_well and measured.is_as_wanted
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return is_well


async def _in_time(name: str, measuring: Coroutine[None, None, Measured]) -> Measured:
    """
    One fault's figures.

    Raises:
        AssertionError: something did not come in time; it names the fault, and what was waited for.
    """
    task = asyncio.create_task(measuring, name=name)
    await asyncio.wait([task], timeout=_LONGEST_SECONDS)
    if not task.done():
        sys.stderr.write(f"{name}: given up after {_LONGEST_SECONDS:g} s, here:\n")
        task.print_stack(file=sys.stderr)
        raise AssertionError(f"{name}: given up after {_LONGEST_SECONDS:g} s")
    error = task.exception()
    if error is not None:
        raise AssertionError(f"{name}: {_reasons(error)}") from error
    return task.result()


def _reasons(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_reasons, error.exceptions))
    return str(error) or type(error).__name__


def _print(measured: Measured) -> None:
    p50, p99, longest = measured.waited
    named = "-" if measured.named is None else f"{measured.named:.1f}"
    books = "balance" if measured.balances else "DO NOT BALANCE"
    sys.stdout.write(
        f"{measured.fault:<17} {measured.recovery:>8.1f} {p50:>7.3f} {p99:>7.2f} {longest:>8.2f} {named:>6}"
        f" {measured.well:>6.1f}  {books}   {', '.join(sorted(measured.reasons))}\n"
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
