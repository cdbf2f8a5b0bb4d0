"""How late the event loop is: what blocks it makes every answer of the process late, the probes' too."""

import asyncio
import time

from sluice.chassis import metrics
from sluice.chassis.endless import turn

LOOK_SECONDS = 0.25

_LAG_SECONDS = metrics.histogram(
    "event_loop_lag_seconds", "How much later than asked for a timer of the event loop woke, four times a second."
)


async def watch(*, look_seconds: float = LOOK_SECONDS) -> None:
    """Measure until cancelled."""
    while True:
        turn()
        asked_at = time.monotonic()
        await asyncio.sleep(look_seconds)
        _LAG_SECONDS.observe(max(0.0, time.monotonic() - asked_at - look_seconds))
