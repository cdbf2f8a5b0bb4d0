"""Events that are left to the relay, which brings them back later: nothing failed, nothing is counted."""

from collections.abc import Sequence
from dataclasses import dataclass

from processor import metrics
from processor.outcome import Work
from sluice.inbox import failures
from sluice.nats.jetstream import acknowledge
from sluice.postgres.pool import DATABASE_ERRORS, Database


@dataclass(frozen=True)
class Deferral:
    """Gives up an event's place in the consumer, so that others come."""

    database: Database

    async def defer(self, works: Sequence[Work]) -> None:
        """Bring these back later; while PostgreSQL is away their messages stay unacknowledged and do the same."""
        if not works:
            return
        attempts = {work.event_id: work.attempt for work in works}
        try:
            await failures.defer(self.database, attempts)
        except DATABASE_ERRORS:
            return
        metrics.DEFERRED.inc(len(works))
        acknowledge([work.message for work in works])
