"""Processing from a backlog, with the real payment handlers: in batches, one by one, and from a large backlog."""

import statistics
from dataclasses import dataclass

from bench.candidates import SLUICE
from bench.ground import Ground
from bench.load import Order
from bench.processes import memory_mebibytes, processing, send, serving

_CONNECTIONS = 100
_PARTS = 10
_PACE = """
SELECT part, count(*) / extract(epoch FROM max(processed_at) - min(processed_at))::float8 AS per_second
FROM (SELECT processed_at, ntile($1) OVER (ORDER BY processed_at) AS part FROM webhook_logs) AS parts
GROUP BY part ORDER BY part
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How fast a backlog was worked off; events for each second."""

    rows: int
    per_second: float
    parts_per_second: tuple[float, ...]
    """Of each tenth, in the order of processing: equal when cost does not grow with the tables."""
    lost_nothing: bool
    memory_mebibytes: float


@dataclass(frozen=True, slots=True)
class Processing:
    """Medians of interleaved runs."""

    batched: Backlog
    one_by_one: Backlog
    rebuild: Backlog

    @property
    def times_one_by_one(self) -> float:
        """The factor that batches gain over one event at a time."""
        return self.batched.per_second / self.one_by_one.per_second


async def measure(ground: Ground, *, count: int, rows: int, few: int, many: int) -> Processing:
    """Work backlogs off: ``rows`` in batches against ``few`` one by one, ``count`` times each; then ``many``."""
    batched, alone = [], []
    for _ in range(count):
        batched.append(await _work_off(ground, rows))
        alone.append(await _work_off(ground, few, BATCH_SIZE="1"))
    rebuild = await _work_off(ground, many)
    return Processing(_median(batched), _median(alone), rebuild)


async def _work_off(ground: Ground, rows: int, **environment: str) -> Backlog:
    await ground.sweep()
    async with processing(ground):
        pass  # its consumer is there now, so the backlog waits in the stream
    async with serving(SLUICE, ground) as port:
        sent = await send(Order(port, ground.secret, _CONNECTIONS, 3_600, next(ground.serials), rows))
        async with processing(ground, **environment) as process:
            await ground.settled()
            memory = memory_mebibytes(process)
    account = await ground.account()
    async with ground.connected() as connection:
        parts = tuple(row["per_second"] for row in await connection.fetch(_PACE, _PARTS))
    return Backlog(
        rows=account.rows,
        per_second=statistics.harmonic_mean(parts),
        parts_per_second=parts,
        lost_nothing=sent["acknowledged"] == account.rows == account.processed and not account.error_rows,
        memory_mebibytes=memory,
    )


def _median(backlogs: list[Backlog]) -> Backlog:
    return sorted(backlogs, key=lambda backlog: backlog.per_second)[len(backlogs) // 2]
