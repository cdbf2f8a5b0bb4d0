"""`make soak`: a million webhooks through ingest and processor, in ten parts: does cost or memory grow with them?"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click
from rich.console import Console
from rich.table import Table

from bench.candidates import SLUICE
from bench.ground import Ground, prepare
from bench.load import Order
from bench.processes import free_port, listening, memory_mebibytes, processing, running, send

_CONNECTIONS = 100
_PARTS = 10
_PATIENCE_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class Part:
    """A tenth: from its first POST until all of it is processed."""

    acknowledged: int
    ingest_per_second: float
    processed_per_second: float
    ingest_mebibytes: float
    processor_mebibytes: float


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Webhooks in all.")
def main(*, rows: int) -> None:
    """Send webhooks as fast as they are answered, while a processor works on them; after each tenth, look."""
    raise SystemExit(asyncio.run(_soak(rows)))


async def _soak(rows: int) -> int:
    console = Console()
    async with prepare() as ground:
        with console.status("a soak") as status:
            parts = await _parts(ground, rows // _PARTS, lambda done: status.update(f"{done} of {_PARTS} parts"))
        account = await ground.account()
    console.print(_table(parts))
    complete = sum(part.acknowledged for part in parts) == account.rows == account.processed and not account.error_rows
    console.print(f"acknowledged = rows = processed, no error row: {'yes' if complete else 'NO'} ({account.rows:,})")
    return 0 if complete else 1


async def _parts(ground: Ground, rows: int, told: Callable[[int], None]) -> Sequence[Part]:
    await ground.sweep()
    port = free_port()
    parts: list[Part] = []
    async with (
        running(ground, SLUICE.module, LISTEN_PORT=str(port)) as ingest,
        processing(ground) as processor,
    ):
        await listening(port, ingest)
        for number in range(_PARTS):
            told(number)
            order = Order(port, ground.secret, _CONNECTIONS, _PATIENCE_SECONDS, next(ground.serials), rows)
            parts.append(await _part(ground, order, ingest, processor))
    return parts


async def _part(
    ground: Ground, order: Order, ingest: asyncio.subprocess.Process, processor: asyncio.subprocess.Process
) -> Part:
    sent = await send(order)
    waited = time.monotonic()
    await ground.settled()
    seconds = order.prepared / sent["acknowledged_per_second"] + time.monotonic() - waited
    return Part(
        acknowledged=int(sent["acknowledged"]),
        ingest_per_second=sent["acknowledged_per_second"],
        processed_per_second=order.prepared / seconds,
        ingest_mebibytes=memory_mebibytes(ingest),
        processor_mebibytes=memory_mebibytes(processor),
    )


def _table(parts: Sequence[Part]) -> Table:
    table = Table(title="Each tenth of a soak")
    for name in ("part", "ingest per second", "both per second", "ingest, MiB", "processor, MiB"):
        table.add_column(name, justify="right")
    for number, part in enumerate(parts, start=1):
        table.add_row(
            str(number),
            f"{part.ingest_per_second:,.0f}",
            f"{part.processed_per_second:,.0f}",
            f"{part.ingest_mebibytes:.0f}",
            f"{part.processor_mebibytes:.0f}",
        )
    return table


if __name__ == "__main__":
    main()
