"""
`python -m bench.cpu`: what a webhook costs the processor and PostgreSQL, in microseconds of CPU.

Time of the clock means nothing on a machine that others use too; CPU time varies by a few percent there. To judge a
change, run this in two worktrees in turn.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg
import click

from bench.candidates import SLUICE
from bench.ground import Ground, prepare
from bench.load import Order
from bench.processes import processing, send, serving

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_PROC = Path("/proc")
_CONNECTIONS = 100
_TRICKLE_PER_SECOND = 40.0
_WARM_UP_SECONDS = 2.0
_WARM_SHARE = 0.05
"""Of a backlog: not counted, for the processor starts meanwhile."""
_LOOK_SECONDS = 0.05
_LEFT = "SELECT count(*) FROM webhook_logs WHERE NOT processed"


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds since the processes started."""

    processor: float
    postgresql: float


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads what a processor and a PostgreSQL have spent; the connection that looks on is left out."""

    processor: int
    postmaster: int
    looking_on: int

    @classmethod
    async def of(cls, processor: int, connection: Connection) -> "Meter":
        """For a processor's pid and the server behind a connection."""
        folder = Path(await connection.fetchval("SHOW data_directory"))
        pid = (folder / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0]
        return cls(processor, int(pid), connection.get_server_pid())

    def read(self) -> Spent:
        """So far."""
        alive = sum(cpu_seconds(pid) for pid in children_of(self.postmaster) if pid != self.looking_on)
        return Spent(cpu_seconds(self.processor), alive + ended_seconds(self.postmaster))


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process; 0 of one that is gone."""
    try:
        threads = [(task / "schedstat").read_text(encoding="ascii") for task in (_PROC / str(pid) / "task").iterdir()]
    except OSError:
        return 0.0
    return sum(int(thread.split()[0]) for thread in threads) / 1e9


def ended_seconds(pid: int) -> float:
    """CPU time of the children of a process that have ended."""
    user, system = _stat(pid)[13:15]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that have not ended."""
    found = (int(folder.name) for folder in _PROC.iterdir() if folder.name.isdigit())
    return [child for child in found if _stat(child)[1:2] == [str(pid)]]


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; none of a process that is gone."""
    try:
        line = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return line.rpartition(")")[2].split()


async def measure_backlog(ground: Ground, events: int) -> str:
    """Record a backlog, then count what it costs to work it off."""
    await ground.sweep()
    async with serving(SLUICE, ground) as port, ground.connected() as connection:
        async with processing(ground):
            pass  # its consumer is there now, so the backlog waits in the stream
        await send(Order(port, ground.secret, _CONNECTIONS, 3_600, next(ground.serials), events))
        async with processing(ground) as process:
            meter = await Meter.of(process.pid, connection)
            left = await _wait_for(connection, int(events * (1 - _WARM_SHARE)))
            before = meter.read()
            await _wait_for(connection, 0)
            return _line(f"a backlog of {events}", before, meter.read(), left)


async def measure_trickle(ground: Ground, seconds: float) -> str:
    """Count what webhooks cost that come one by one."""
    await ground.sweep()
    async with serving(SLUICE, ground) as port, processing(ground) as process, ground.connected() as connection:
        meter = await Meter.of(process.pid, connection)
        await _send_slowly(ground, port, _WARM_UP_SECONDS)
        before = meter.read()
        sent = await _send_slowly(ground, port, seconds)
        return _line(f"one by one, {_TRICKLE_PER_SECOND:.0f} a second", before, meter.read(), sent)


async def _send_slowly(ground: Ground, port: int, seconds: float) -> int:
    number = int(_TRICKLE_PER_SECOND * seconds)
    order = Order(
        port, ground.secret, _CONNECTIONS, seconds, next(ground.serials), number, per_second=_TRICKLE_PER_SECOND
    )
    tally = await send(order)
    await ground.settled()
    return int(tally["acknowledged"])


async def _wait_for(connection: Connection, most: int) -> int:
    """Wait until no more than so many are left; how many are."""
    while (left := int(await connection.fetchval(_LEFT))) > most:
        await asyncio.sleep(_LOOK_SECONDS)
    return left


def _line(what: str, before: Spent, after: Spent, events: int) -> str:
    processor = (after.processor - before.processor) / events * 1e6
    postgresql = (after.postgresql - before.postgresql) / events * 1e6
    return f"{what}: processor {processor:.0f} us, PostgreSQL {postgresql:.0f} us for each webhook"


async def _measure(rounds: int, events: int, seconds: float) -> None:
    async with prepare() as ground:
        for _ in range(rounds):
            click.echo(await measure_backlog(ground, events))
            click.echo(await measure_trickle(ground, seconds))


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True)
@click.option("--events", default=20_000, show_default=True, help="Of the backlog.")
@click.option("--seconds", default=10.0, show_default=True, help="Of the webhooks that come one by one.")
def main(rounds: int, events: int, seconds: float) -> None:
    """Print two lines for each round."""
    asyncio.run(_measure(rounds, events, seconds))


if __name__ == "__main__":
    main()
