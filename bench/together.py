"""Both at once: a processor works a backlog off while ingest takes all that it can, on the same cores."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from bench.candidates import SLUICE
from bench.ground import Ground
from bench.load import Order
from bench.processes import processing, send, serving

_CONNECTIONS = 100
_NEWEST = "SELECT max(created_at) FROM webhook_logs"
_PACES = """
WITH window_of_both AS (
    SELECT greatest(min(processed_at), min(created_at) FILTER (WHERE created_at > $1)) AS began,
           least(max(processed_at), max(created_at)) AS ended
    FROM webhook_logs
)
SELECT extract(epoch FROM ended - began)::float8 AS seconds,
       (SELECT count(*) FROM webhook_logs WHERE created_at BETWEEN began AND ended) AS recorded,
       (SELECT count(*) FROM webhook_logs WHERE processed_at BETWEEN began AND ended) AS processed
FROM window_of_both
"""


@dataclass(frozen=True, slots=True)
class Together:
    """Throughput of both in the seconds in which both worked; webhooks for each second."""

    backlog: int
    seconds: float
    ingest_per_second: float
    processed_per_second: float
    lost_nothing: bool

    @property
    def times_ingest(self) -> float:
        """Above 1 a backlog shrinks under full load."""
        return self.processed_per_second / self.ingest_per_second


async def measure(ground: Ground, *, backlog: int, seconds: float) -> Together:
    """Fill a backlog, then start a processor and full load at the same time, and count while both work."""
    await ground.sweep()
    async with processing(ground):
        pass  # its consumer is there now, so the backlog waits in the stream
    async with serving(SLUICE, ground) as port:
        filled = await send(Order(port, ground.secret, _CONNECTIONS, 3_600, next(ground.serials), backlog))
        newest = await _newest(ground)
        loaded, (seconds, recorded, processed) = await _both(ground, port, seconds, newest)
    account = await ground.account()
    acknowledged = filled["acknowledged"] + loaded["acknowledged"]
    return Together(
        backlog=backlog,
        seconds=seconds,
        ingest_per_second=recorded / seconds,
        processed_per_second=processed / seconds,
        lost_nothing=acknowledged == account.rows == account.processed and not account.error_rows,
    )


async def _both(
    ground: Ground, port: int, seconds: float, newest: datetime
) -> tuple[dict[str, float], tuple[float, int, int]]:
    prepared = int(SLUICE.fastest_per_second * seconds)
    order = Order(port, ground.secret, _CONNECTIONS, seconds, next(ground.serials), prepared)
    async with asyncio.TaskGroup() as group:
        load = group.create_task(send(order))
        async with processing(ground):
            loaded = await load
            await ground.settled()
    async with ground.connected() as connection:
        paces = await connection.fetchrow(_PACES, newest)
    if paces is None or not paces["seconds"] or paces["seconds"] <= 0:
        raise RuntimeError("the backlog was worked off before the load began; ask for a larger one")
    return loaded, (paces["seconds"], paces["recorded"], paces["processed"])


async def _newest(ground: Ground) -> datetime:
    async with ground.connected() as connection:
        newest: datetime = await connection.fetchval(_NEWEST)
    return newest
