"""A failure goes on record in a transaction of its own, never in the one that failed."""

from dataclasses import dataclass, field

from processor.failures.classify import Blame
from processor.failures.error_summary import describe
from processor.failures.retry_policy import Patience, Schedule
from processor.outcome import Duplicate, Failed, Postponed, Work
from sluice.inbox import failures
from sluice.inbox.failures import NextAttempt
from sluice.postgres.pool import Database


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
            return await self._dead_letter(work, describe(error))
        return await self._record_failure(work, describe(error), starts)

    async def _postpone(self, work: Work, error: BaseException) -> Failed | Postponed | Duplicate:
        text = f"postponed: {describe(error)}"
        postponed = await failures.postpone(
            self.database, work.event_id, work.attempt, text, patience_seconds=self.schedule.over_seconds
        )
        if postponed is None:
            return Duplicate()
        if postponed.is_dead:
            since = f"{postponed.postponed_since:%Y-%m-%d %H:%M} UTC"
            return Failed(error=f"{text} (since {since})", attempt=work.attempt + 1, is_dead=True)
        return Postponed(text, is_first=postponed.is_first)

    async def _dead_letter(self, work: Work, text: str) -> Failed | Duplicate:
        is_dead = await failures.dead_letter(self.database, work.event_id, work.attempt, text)
        return Failed(error=text, attempt=work.attempt + 1, is_dead=True) if is_dead else Duplicate()

    async def _record_failure(self, work: Work, text: str, starts: int) -> Failed | Duplicate:
        attempt = work.attempt + 1
        following = NextAttempt(
            delay_seconds=self.schedule.delay_seconds(attempt),
            is_last=self.schedule.is_last(attempt),
            patience_seconds=self.patience.patience_seconds,
            starts=starts,
        )
        is_dead = await failures.record_failure(self.database, work.event_id, work.attempt, text, following)
        return Duplicate() if is_dead is None else Failed(error=text, attempt=attempt, is_dead=is_dead)
