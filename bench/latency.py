"""From POST to processed row: a steady rate through ingest and processor, timed by PostgreSQL's commit times."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from bench.candidates import SLUICE
from bench.ground import Ground
from bench.load import Order, percentile
from bench.noise import Flushes, Processor, probe_disk
from bench.processes import processing, send, serving

_CONNECTIONS = 100
_COMMITTED = """
SELECT stripe_event_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS committed
FROM webhook_logs WHERE processed
"""


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies at a steady rate; milliseconds from the moment that a request was due."""

    per_second: float
    sent: int
    acknowledged: int
    processed: int
    answer_p50_ms: float
    answer_p99_ms: float
    p50_ms: float
    """To the commit of ``processed = true``."""
    p99_ms: float
    flushes: Flushes
    stolen_percent: float

    @property
    def lost_nothing(self) -> bool:
        """Whether everything that was sent is acknowledged and processed."""
        return self.sent == self.acknowledged == self.processed


async def measure(ground: Ground, *, per_second: float, seconds: float) -> Latency:
    """Send at a fixed rate (open loop) and look up when each row's processing was committed."""
    await ground.sweep()
    flushes = await asyncio.to_thread(probe_disk, ground.folder)
    async with processing(ground), serving(SLUICE, ground) as port:
        await send(_order(ground, port, per_second, 1.0, first_serial=next(ground.serials)))
        await ground.settled()
        before = Processor.read()
        tally = await send(_order(ground, port, per_second, seconds, first_serial=next(ground.serials)))
        await ground.settled()
        stolen = Processor.read().stolen_percent_since(before)
    started: Mapping[str, float] = tally["started"]  # type: ignore[assignment]
    took = sorted(await _took(ground, started))
    return Latency(
        per_second=per_second,
        sent=len(started),
        acknowledged=int(tally["acknowledged"]),
        processed=len(took),
        answer_p50_ms=tally["p50_ms"],
        answer_p99_ms=tally["p99_ms"],
        p50_ms=percentile(took, 0.5) * 1e3,
        p99_ms=percentile(took, 0.99) * 1e3,
        flushes=flushes,
        stolen_percent=stolen,
    )


def _order(ground: Ground, port: int, per_second: float, seconds: float, *, first_serial: int) -> Order:
    return Order(
        port,
        ground.secret,
        _CONNECTIONS,
        seconds,
        first_serial,
        int(per_second * seconds) + 1,
        per_second=per_second,
    )


async def _took(ground: Ground, started: Mapping[str, float]) -> list[float]:
    """By the wall clock, which all processes here share."""
    async with ground.connected() as connection:
        committed = {row["stripe_event_id"]: row["committed"] for row in await connection.fetch(_COMMITTED)}
    return [committed[event_id] - began for event_id, began in started.items() if event_id in committed]
