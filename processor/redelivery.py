"""
A message that comes again may have killed the process that held it, so it runs alone, after its start is committed.

Only starts that nobody ended lead to death: a process-killer dies by itself and takes no neighbour with it.
"""

from dataclasses import dataclass, field

from processor.verdicts import Failed, Work
from sluice.chassis.postgres import Database
from sluice.chassis.sql import load_queries

QUERIES = load_queries(__file__, "redelivery.sql")


@dataclass(frozen=True)
class Redelivery:
    """Keeps count, in PostgreSQL, of the runs that began and never ended."""

    database: Database
    most_starts: int = 3
    _ended: set[str] = field(default_factory=set)
    """Ended runs whose end is not on record yet, because PostgreSQL was away."""

    async def begin(self, work: Work) -> Failed | None:
        """
        Commit the start of a run alone; None: go ahead, and the claim will say whether it is its turn.

        Raises:
            DatabaseUnavailable: the start may be committed or not; call ``end``.
        """
        await self.flush()
        error = f"it killed its process: {self.most_starts} runs of this event alone began and never ended"
        rows = await self.database.fetch(QUERIES["begin"], work.event_id, work.attempt, self.most_starts, error)
        if rows and rows[0]["is_killer"]:
            return Failed(error=error, attempt=work.attempt + 1, is_dead=True)
        return None

    def end(self, work: Work) -> None:
        """The run ended without a result, and this process lives; goes on record when PostgreSQL answers."""
        self._ended.add(work.event_id)

    async def flush(self) -> None:
        """
        Put ended runs on record.

        Raises:
            DatabaseUnavailable: they stay remembered.
        """
        if not self._ended:
            return
        ended = sorted(self._ended)
        await self.database.execute(QUERIES["end"], ended)
        self._ended.difference_update(ended)
