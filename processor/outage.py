"""While PostgreSQL is away nothing is fetched, and what is held waits with growing pauses."""

import asyncio
import contextlib
import random

from processor import metrics

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 3.0


class Outage:
    """Whether work waits for PostgreSQL; on at the start, until it has answered once."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._pauses = 0
        self._is_on = True

    @property
    def is_on(self) -> bool:
        """Whether the last thing that was asked of PostgreSQL failed for want of PostgreSQL."""
        return self._is_on

    def begin(self) -> None:
        """PostgreSQL is away."""
        self._is_on = True
        metrics.IN_OUTAGE.set(1)

    def is_over(self) -> None:
        """PostgreSQL answered, but only work that succeeds makes the pauses short again."""
        self._is_on = False
        metrics.IN_OUTAGE.set(0)

    def work_succeeded(self) -> None:
        """A transaction committed."""
        self.is_over()
        self._pauses = 0

    async def pause(self) -> None:
        """Wait a little longer than the last time; a stop ends the wait."""
        longest = min(FIRST_SECONDS * 2.0 ** min(self._pauses, 10), LONGEST_SECONDS)
        self._pauses += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest * random.uniform(0.5, 1)):
                await self._stop.wait()
