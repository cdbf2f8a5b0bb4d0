"""Set aside what a pause covers: it waits in its row and does not run, and its message has done its duty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from processor.outcome import Forged, MessageOutcome, Paused, Work
from processor.queue.pauses import KnownPauses
from processor.worker.transaction import look
from sluice.inbox import pauses
from sluice.inbox.pauses import Held, traits_of
from sluice.postgres.pool import Database


@dataclass(frozen=True)
class PauseGate:
    """Lets events wait that a pause covers: by one statement for all of a fetch, by none while nothing is paused."""

    database: Database
    known: KnownPauses

    async def set_aside(self, works: Sequence[Work]) -> Mapping[str, MessageOutcome]:
        """
        Let those wait that are covered; by id, what became of each that is not to run.

        Raises:
            DatabaseUnavailable: as far as we know none waits, and it is not known which may run.
        """
        in_force = await self.known.in_force()
        if not in_force:
            return {}
        covering = ((work, self.known.covering(in_force, traits_of(work.event))) for work in works)
        covered = {work: pause.id for work, pause in covering if pause is not None}
        return await self._set_aside(covered) if covered else {}

    async def _set_aside(self, covered: Mapping[Work, int]) -> Mapping[str, MessageOutcome]:
        """Leave what cannot be set aside: it is over, or in other hands; a forged message is for the claim to find."""
        held = [Held(work.event, work.attempt, pause_id) for work, pause_id in covered.items()]
        async with self.database.acquire() as connection:
            is_paused = await pauses.set_aside(connection, held)
            rest = [work for work in covered if work.event_id not in is_paused]
            unclaimed = await look(connection, rest, isolated=True)
        paused = {event_id: Paused() for event_id, waits in is_paused.items() if waits}
        return {**paused, **{event_id: why for event_id, why in unclaimed.items() if not isinstance(why, Forged)}}
