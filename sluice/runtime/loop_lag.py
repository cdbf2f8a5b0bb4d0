"""How late the event loop is: what blocks it makes every answer of the process late, the probes' too."""

import asyncio
import time
from collections import deque

from sluice.runtime import metrics
from sluice.runtime.endless import turn

LOOK_SECONDS = 0.25

_LAG_SECONDS = metrics.histogram(
    "event_loop_lag_seconds", "How much later than asked for a timer of the event loop woke, four times a second."
)


_LATE: deque[tuple[float, float]] = deque(maxlen=100)
"""When a timer woke late, and by how many seconds."""
_LATE_SECONDS = 0.1
_due_at: list[float] = []


def late_seconds(*, since: float) -> float:
    """For about how many seconds the loop has not turned since then; 0 where it is not watched. Monotonic clock."""
    overdue = max((time.monotonic() - due_at for due_at in _due_at), default=0.0)
    known = sum(min(late, woke_at - since) for woke_at, late in _LATE if woke_at > since)
    return known + (overdue if overdue > _LATE_SECONDS else 0.0)


async def watch(*, look_seconds: float = LOOK_SECONDS) -> None:
    """Measure until cancelled."""
    while True:
        turn()
        asked_at = time.monotonic()
        _due_at[:] = [asked_at + look_seconds]
        try:
            await asyncio.sleep(look_seconds)
        finally:
            _due_at.clear()
        late = max(0.0, time.monotonic() - asked_at - look_seconds)
        _LAG_SECONDS.observe(late)
        if late > _LATE_SECONDS:
            _LATE.append((time.monotonic(), late))
