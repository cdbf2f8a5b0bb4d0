"""
Make partitions ahead, and take what is older than it has to be kept.

Each step is a transaction of its own, small enough that no service waits for it, and the next one begins after a pause
as long as it took. A process that is killed has done whole steps; the next run goes on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from sluice.inbox.operations import AnyConnection
from sluice.postgres.errors import DATABASE_ERRORS, cause_of
from sluice.postgres.sql import load_queries
from sluice.postgres.sqlstate import Cause

QUERIES = load_queries(__file__, "maintenance.sql")
DAYS_AHEAD = 8
ROWS_AT_ONCE = 1_000
WEBHOOKS_AT_LEAST_DAYS = 31
"""The window in which Stripe may send a webhook again."""
_TRIES = 5
_RETRY_SECONDS = 0.5
_HELD = frozenset({Cause.LOCK_NOT_AVAILABLE, Cause.COLLISION})


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days things are kept; None: for ever."""

    bodies_days: int | None = None
    webhooks_days: int | None = None
    errors_days: int | None = None
    items_days: int | None = None


class Done(NamedTuple):
    """One step: so many of what."""

    what: str
    number: int


@dataclass(frozen=True, slots=True)
class Maintenance:
    """
    The work of one run.

    Args:
        ends_at: monotonic time after which no step begins.
    """

    connection: AnyConnection
    retention: Retention
    ends_at: float
    rows_at_once: int = ROWS_AT_ONCE

    async def run(self) -> AsyncIterator[Done]:
        """Do all of it; each step is told when it is done."""
        yield Done("days ready", await self._number("prepare", DAYS_AHEAD))
        async for done in self._take_bodies():
            yield done
        for query, what, days in self._deletions():
            async for done in self._repeat(query, what, days):
                yield done

    async def count(self) -> Sequence[Done]:
        """Count what retention would take; change nothing."""
        kept = self.retention
        rows = await self.connection.fetch(
            QUERIES["count_expired"], kept.bodies_days, kept.webhooks_days, kept.errors_days, kept.items_days
        )
        return [Done(row["what"], row["found"]) for row in rows]

    async def _take_bodies(self) -> AsyncIterator[Done]:
        days = self.retention.bodies_days
        if days is None:
            return
        today: date = await self.connection.fetchval(QUERIES["read_today"])
        for row in await self.connection.fetch(QUERIES["read_days"]):
            if row["day"] < today - timedelta(days=days):
                async for done in self._take_day(row["day"]):
                    yield done
        async for done in self._repeat("forget_bodies", "bodies taken from rows", days):
            yield done

    async def _take_day(self, day: date) -> AsyncIterator[Done]:
        """Keep what is needed, then drop the rest; what others hold all the while is left to the next run."""
        async for done in self._repeat("keep_bodies", "bodies kept", day):
            yield done
        if self._is_over():
            return
        outcome = await self._patiently("drop_bodies", day)
        yield Done(f"days {outcome or 'busy'}", 1)

    def _deletions(self) -> Sequence[tuple[str, str, int]]:
        kept = self.retention
        wanted = (
            ("delete_webhooks", "webhooks deleted", kept.webhooks_days),
            ("delete_errors", "errors deleted", kept.errors_days),
            ("delete_items", "items of operations deleted", kept.items_days),
        )
        return [(query, what, days) for query, what, days in wanted if days is not None]

    async def _repeat(self, query: str, what: str, subject: object) -> AsyncIterator[Done]:
        """Take step after step until there is nothing left; pause as long as each took."""
        while not self._is_over():
            began = time.monotonic()
            number = await self._number(query, subject, self.rows_at_once)
            if not number:
                return
            yield Done(what, number)
            await asyncio.sleep(time.monotonic() - began)

    async def _number(self, query: str, *arguments: object) -> int:
        result = await self._patiently(query, *arguments)
        return result if isinstance(result, int) else 0

    async def _patiently(self, query: str, *arguments: object) -> int | str | None:
        """Run one step; again after a pause where a lock was not to be had, None where it never was."""
        for tries in range(_TRIES):
            try:
                result: int | str | None = await self.connection.fetchval(QUERIES[query], *arguments)
            except DATABASE_ERRORS as error:
                if cause_of(error) not in _HELD:
                    raise
            else:
                return result
            await asyncio.sleep(_RETRY_SECONDS * (tries + 1))
        return None

    def _is_over(self) -> bool:
        return time.monotonic() >= self.ends_at
