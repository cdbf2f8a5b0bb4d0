"""A failure goes on record in a transaction of its own, never in the one that failed."""

from dataclasses import dataclass, field

from processor.failures.error_summary import describe
from processor.failures.retries import Blame, Patience, Schedule
from processor.outcome import Duplicate, Failed, Postponed, Work
from sluice.postgres.pool import Database
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "failure_store.sql")


@dataclass(frozen=True)
class FailureStore:
    """Counts attempts in PostgreSQL, sets the next one, and buries what has no other."""

    database: Database
    schedule: Schedule = field(default_factory=Schedule)
    patience: Patience = field(default_factory=Patience)

    async def record(
        self, work: Work, error: BaseException, blame: Blame, *, starts: int = 0
    ) -> Failed | Postponed | Duplicate:
        """
        Put on record what became of one event; when this returns, the message can be acknowledged.

        A lock that others hold is no failure: the event comes back later, and gives up its place in the consumer. But
        when they hold it for as long as all attempts might have taken, it is dead.

        Args:
            starts: how many starts alone stay on record, so that the next attempt runs alone too.

        Raises:
            DatabaseUnavailable: nothing is on record; the message stays unacknowledged.
        """
        if blame in (Blame.COLLISION, Blame.CONTENTION):
            return await self._postpone(work, error)
        if blame is Blame.HOPELESS:
            return await self._write(work, "bury", describe(error))
        attempt = work.attempt + 1
        return await self._write(
            work,
            "record_failure",
            describe(error),
            self.schedule.delay_seconds(attempt),
            self.schedule.is_last(attempt),
            self.patience.patience_seconds,
            starts,
        )

    async def _postpone(self, work: Work, error: BaseException) -> Failed | Postponed | Duplicate:
        text = f"postponed: {describe(error)}"
        over_seconds = self.schedule.over_seconds
        rows = await self.database.fetch(QUERIES["postpone"], work.event_id, work.attempt, text, over_seconds)
        if not rows:
            return Duplicate()
        if rows[0]["is_dead"]:
            since = rows[0]["postponed_since"]
            return Failed(error=f"{text} (since {since:%Y-%m-%d %H:%M} UTC)", attempt=work.attempt + 1, is_dead=True)
        return Postponed(text, is_first=rows[0]["is_first"])

    async def _write(self, work: Work, query: str, text: str, *more: float) -> Failed | Duplicate:
        rows = await self.database.fetch(QUERIES[query], work.event_id, work.attempt, text, *more)
        if not rows:
            return Duplicate()
        return Failed(error=text, attempt=work.attempt + 1, is_dead=rows[0]["is_dead"])
