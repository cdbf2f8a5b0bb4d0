"""How many webhooks a second go through both: from a POST to a processed row, as fast as they come."""

from dataclasses import dataclass

from bench.candidates import SLUICE
from bench.ground import Ground
from bench.load import Order
from bench.processes import processing, send, serving

_CONNECTIONS = 100
_WARM_UP_SECONDS = 1.0
_PACE = """
SELECT count(*) AS processed, extract(epoch FROM max(processed_at) - min(created_at))::float8 AS seconds
FROM webhook_logs
WHERE id > $1 AND processed
"""


@dataclass(frozen=True, slots=True)
class Through:
    """Throughput of ingest and processor together; webhooks for each second until the last had its effect."""

    per_second: float
    lost_nothing: bool


async def measure(ground: Ground, *, seconds: float) -> Through:
    """Full load for so long, and then until everything is processed."""
    await ground.sweep()
    async with processing(ground), serving(SLUICE, ground) as port:
        warm = await send(_order(ground, port, _WARM_UP_SECONDS))
        await ground.settled()
        async with ground.connected() as connection:
            last = await connection.fetchval("SELECT max(id) FROM webhook_logs")
            loaded = await send(_order(ground, port, seconds))
            await ground.settled()
            pace = await connection.fetchrow(_PACE, last)
    account = await ground.account()
    acknowledged = warm["acknowledged"] + loaded["acknowledged"]
    return Through(
        per_second=pace["processed"] / pace["seconds"] if pace and pace["seconds"] else 0,
        lost_nothing=acknowledged == account.rows == account.processed and not account.error_rows,
    )


def _order(ground: Ground, port: int, seconds: float) -> Order:
    prepared = int(SLUICE.fastest_per_second * seconds)
    return Order(port, ground.secret, _CONNECTIONS, seconds, next(ground.serials), prepared)
