"""A loop that is blocked shows it."""

import asyncio
import re
import time

from sluice.runtime import loop_lag, metrics
from tests.waiting import until


async def test_what_blocks_the_loop_is_seen_as_lag() -> None:
    """A function that keeps the loop for a third of a second is at least one late timer."""
    before = _slow()
    watching = asyncio.create_task(loop_lag.watch(look_seconds=0.01))
    await asyncio.sleep(0)  # the watcher sets its timer
    time.sleep(0.3)  # noqa: ASYNC251  the fault itself
    await until(lambda: _slow() > before, within_seconds=5)
    watching.cancel()


def _slow() -> float:
    """Timers that woke more than a quarter of a second late."""
    shown = metrics.render().decode()
    counted = dict(re.findall(r'^event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', shown, re.MULTILINE))
    return float(counted["+Inf"]) - float(counted["0.25"])
