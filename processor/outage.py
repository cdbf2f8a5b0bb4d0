"""While PostgreSQL is away nothing is fetched, and what is held waits with growing pauses."""

import asyncio
import contextlib
import random

from processor import metrics
from sluice.chassis.logs import get_logger
from sluice.chassis.postgres import Database
from sluice.chassis.sql import load_queries
from sluice.failures import DatabaseUnavailable

log = get_logger()
QUERIES = load_queries(__file__, "outage.sql")
FIRST_SECONDS = 0.1
LONGEST_SECONDS = 3.0


class Outage:
    """Whether work waits for PostgreSQL; on at the start, until it has answered once."""

    def __init__(self, database: Database, stop: asyncio.Event) -> None:
        self._database = database
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

    async def has_answer(self) -> bool:
        """Whether PostgreSQL answers at this moment and takes writes."""
        try:
            rows = await self._database.fetch(QUERIES["is_writable"])
        except DatabaseUnavailable:
            return False
        return bool(rows and rows[0]["is_writable"])

    async def lasts(self) -> bool:
        """Whether work still waits: PostgreSQL was asked again, and after its silence there was a pause."""
        if not self._is_on:
            return False
        if not await self.has_answer():
            await self.pause()
            return True
        log.info("database_answers")
        self.is_over()
        return False

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
