"""
An event that may take its process or its connection with it runs alone, after its start is committed.

Only starts without an end count: an event whose whole process is ended from outside takes no neighbour with it.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from processor.failures.error_summary import describe
from processor.outcome import Work
from sluice.failures import Defect, Rejected
from sluice.inbox import claims
from sluice.postgres.pool import Database


class KilledItsProcess(Rejected):
    """Too many runs of this event alone began and never ended."""


class LostItsConnection(Defect):
    """Too many runs of this event alone ended with their connection to PostgreSQL."""


@dataclass(frozen=True)
class IsolatedRuns:
    """Keeps count, in PostgreSQL, of the runs that began and never ended."""

    database: Database
    most_starts: int = 3
    _ended: set[str] = field(default_factory=set)
    """Ended runs whose end is not on record yet, because PostgreSQL was away."""
    _flushing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """An end that reached PostgreSQL after the next start would undo it."""

    async def begin(self, work: Work, *, lost: bool = False) -> int:
        """
        Commit the start of a run alone; how many have now begun and not ended, 0 if it is not this message's turn.

        Args:
            lost: this process saw the run before this one end with its connection.

        Raises:
            KilledItsProcess: too many went unfinished before.
            LostItsConnection: the same, but the process lives, so this is one failed attempt.
            DatabaseUnavailable: the start may be committed or not; call ``end``.
        """
        await self.flush()
        starts = await claims.begin_isolated_run(self.database, work.event, work.attempt)
        if starts <= self.most_starts:
            return starts
        if lost:
            raise LostItsConnection(f"it lost its connection to PostgreSQL in {self.most_starts} runs alone")
        raise KilledItsProcess(
            f"it killed its process: {self.most_starts} runs of this event alone began and never ended"
        )

    async def begun(self, works: Sequence[Work]) -> Collection[str]:
        """
        The ids of those of which an isolated run began that did not end.

        Raises:
            DatabaseUnavailable: it cannot be known.
        """
        return await claims.read_unended(self.database, [work.event_id for work in works]) if works else ()

    def end(self, work: Work) -> None:
        """The run ended without a result, and this process lives; goes on record when PostgreSQL answers."""
        self._ended.add(work.event_id)

    def judge(self, starts: int, error: Exception) -> LostItsConnection | None:
        """Judge a run that ended with its connection, the start staying on record; None: try again."""
        if starts < self.most_starts:
            return None
        result = LostItsConnection(
            f"it lost its connection to PostgreSQL in {starts} runs alone; the last: {describe(error)}"
        )
        result.__cause__ = error
        return result

    async def flush(self) -> None:
        """
        Put ended runs on record.

        Raises:
            DatabaseUnavailable: they stay remembered.
        """
        async with self._flushing:
            if not self._ended:
                return
            ended = sorted(self._ended)
            await claims.end_isolated_runs(self.database, ended)
            self._ended.difference_update(ended)
