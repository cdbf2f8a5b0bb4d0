"""How many webhooks were acknowledged, and how many took effect, in each minute; counted in the background."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from console.web.reading import reading
from sluice.postgres.pool import DATABASE_ERRORS, Database, Record
from sluice.postgres.sql import load_queries
from sluice.runtime import logs
from sluice.runtime.endless import turn

QUERIES = load_queries(__file__, "rates.sql")
MINUTES = 180
_EVERY_SECONDS = 10.0
_AGAIN_MINUTES = 5
"""Minutes that are counted again each time: attempts may still end in them."""
_STRETCH_MINUTES = 30
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Minute:
    """Webhooks of one minute."""

    at: datetime
    acknowledged: int = 0
    effects: int = 0


class Rates:
    """The last three hours, minute by minute."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[datetime, Minute] = {}
        self.counted_at: datetime | None = None
        """When they were counted last; None: not yet."""

    def minutes(self) -> Sequence[Minute]:
        """Give each minute, the oldest first; the one under way is left out."""
        last = _minute(datetime.now(UTC)) - _MINUTE
        return [self._known.get(at, Minute(at)) for at in (last - back * _MINUTE for back in reversed(range(MINUTES)))]

    async def run(self) -> None:
        """Count again and again, until cancelled; a database that is away is asked again."""
        while True:
            turn()
            try:
                await self.count()
            except DATABASE_ERRORS as error:
                logs.get_logger().warning("console_rates_not_counted", error=type(error).__name__)
            await asyncio.sleep(_EVERY_SECONDS)

    async def count(self) -> None:
        """Count what is not counted yet, a stretch at a time, the newest first; and the last few minutes afresh."""
        now = datetime.now(UTC)
        end, first = _minute(now) + _MINUTE, _minute(now) - MINUTES * _MINUTE
        afresh = end - _AGAIN_MINUTES * _MINUTE
        await self._count(afresh, end)
        while afresh > first:
            begin = max(first, afresh - _STRETCH_MINUTES * _MINUTE)
            if any(at not in self._known for at in _minutes(begin, afresh)):
                await self._count(begin, afresh)
            afresh = begin
        self._known = {at: minute for at, minute in self._known.items() if at >= first}
        self.counted_at = now

    async def _count(self, begin: datetime, end: datetime) -> None:
        async with reading(self._database) as connection:
            acknowledged = _by_minute(await connection.fetch(QUERIES["count_acknowledged"], begin, end))
            effects = _by_minute(await connection.fetch(QUERIES["count_effects"], begin, end))
        for at in _minutes(begin, end):
            self._known[at] = Minute(at, acknowledged.get(at, 0), effects.get(at, 0))


def _by_minute(rows: Sequence[Record]) -> Mapping[datetime, int]:
    return {row["minute"]: row["count"] for row in rows}


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _minutes(begin: datetime, end: datetime) -> Sequence[datetime]:
    return [begin + count * _MINUTE for count in range(int((end - begin) / _MINUTE))]
