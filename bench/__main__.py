"""`make bench`: prepare everything, measure, print tables with ratios, write .local/bench.json and the figures."""

import asyncio
import signal
import sys

import click
from rich.console import Console
from rich.progress import Progress

from bench import backlog, latency, report, start, through, together
from bench.candidates import SLUICE
from bench.compare import Run, medians, rounds, size
from bench.goals import Measured, judge
from bench.ground import Ground, prepare
from bench.noise import Flushes, load_average, probe_disk
from bench.plan import Plan

STEADY_PER_SECOND = 200.0
_MOST_CONNECTIONS = 100
_TOGETHER_SECONDS = 5.0  # less than that is mostly the beginning
_PLAIN_WIDTH = 132


@click.command()
@click.option("--quick", is_flag=True, envvar="QUICK", help="One short round: a look, not a result.")
@click.option("--rounds", "count", default=3, show_default=True, help="Interleaved rounds; the tables show medians.")
@click.option("--seconds", default=5.0, show_default=True, help="Measured seconds of each run, after one to warm up.")
@click.option("--backlog", "rows", default=100_000, show_default=True, help="Events of the large backlog.")
@click.option("--document/--no-document", default=True, help="Write docs/performance.md's figures; never when quick.")
def main(*, quick: bool, count: int, seconds: float, rows: int, document: bool) -> None:
    """
    Measure Sluice beside a textbook handler, a faster one, and a server that does nothing.

    All run on the same PostgreSQL (fsync on) and the same NATS, interleaved, each run with fresh processes. Read the
    ratios: the figures themselves depend on this machine and on what else it is doing.
    """
    plan = Plan.short() if quick else Plan.proper(count, seconds, rows)
    raise SystemExit(asyncio.run(_bench(plan, is_documented=document and not quick)))


async def _bench(plan: Plan, *, is_documented: bool) -> int:
    if (me := asyncio.current_task()) is not None:  # else the processes that it started would outlive a SIGTERM
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    loads = [load_average()]
    async with prepare() as ground:
        flushes = [probe_disk(ground.folder)]
        runs = await _compare(ground, console, plan)
        flushes.append(probe_disk(ground.folder))
        measured = await _measure(ground, console, plan, runs)
        flushes.append(probe_disk(ground.folder))
    loads.append(load_average())
    machine = report.Machine(plan.rounds, tuple(loads), tuple[Flushes, ...](flushes))
    goals = judge(measured)
    for table in report.tables(measured, machine, goals):
        console.print(table)
    report.write(measured, machine, runs, goals)
    if is_documented:
        report.document(measured, machine, goals)
    return 0 if report.lost_nothing(measured) else 1


async def _compare(ground: Ground, console: Console, plan: Plan) -> list[Run]:
    runs: list[Run] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=size(plan.rounds))
        async for run in rounds(ground, plan):
            runs.append(run)
            progress.update(task, advance=1, description=f"{run.candidate}, {run.connections} connection(s)")
    return runs


async def _measure(ground: Ground, console: Console, plan: Plan, runs: list[Run]) -> Measured:
    rows = medians(runs)
    most = next(
        row.acknowledged_per_second
        for row in rows
        if row.candidate == SLUICE.name and row.connections == _MOST_CONNECTIONS
    )
    with console.status("a steady rate"):
        steady = await latency.measure(ground, per_second=STEADY_PER_SECOND, seconds=plan.steady_seconds)
        both = await through.measure(ground, seconds=plan.steady_seconds)
        half_through = await latency.measure(ground, per_second=both.per_second / 2, seconds=plan.steady_seconds)
        half = await latency.measure(ground, per_second=most / 2, seconds=plan.steady_seconds)
    with console.status("backlogs"):
        processing = await backlog.measure(
            ground, count=plan.rounds, rows=plan.backlog_rows, few=plan.one_by_one_rows, many=plan.rebuild_rows
        )
    with console.status("a backlog under full load"):
        seconds = max(plan.seconds, _TOGETHER_SECONDS)
        beside = [
            await together.measure(ground, backlog=plan.rebuild_rows, seconds=seconds) for _ in range(plan.rounds)
        ]
    with console.status("starts"):
        started = await start.measure(ground, count=plan.starts)
    return Measured(rows, steady, both, half_through, half, processing, beside, started)


if __name__ == "__main__":
    main()
