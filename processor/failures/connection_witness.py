"""Tells by other connections whether something outside cuts them, or an event takes its own with it."""

import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from sluice.failures import DatabaseUnavailable
from sluice.postgres.pool import DATABASE_ERRORS, Connection, Database

_OPEN_SECONDS = 0.5
_ANSWER_SECONDS = 1.0
_CUTS_GO_ON_SECONDS = 1.0
_MOST_CUTS = 100
"""Of one event in a row: one whose run takes every connection of this process with it ends too."""


@dataclass(frozen=True)
class ConnectionWitness:
    """Tells a connection that was cut from outside from one that an event took with it."""

    database: Database
    _cuts: Counter[str] = field(default_factory=Counter)
    _just_cut: set[str] = field(default_factory=set)
    _cuts_seen: deque[float] = field(default_factory=lambda: deque(maxlen=1))
    """When a connection was last lost while no handler ran; monotonic seconds."""

    @asynccontextmanager
    async def watching(self, event_id: str) -> AsyncIterator[None]:
        """Hold a connection that does nothing while the block runs this event; without one there is no witness."""
        async with AsyncExitStack() as held:
            connection = await self._connect(held)
            try:
                yield
            except Exception:
                if connection is not None and await _is_lost(connection):
                    self._just_cut.add(event_id)
                raise
            self.forget(event_id)

    def saw_cut(self, event_id: str) -> bool:
        """
        Whether the run of this event that has just lost its connection was cut from outside.

        It was if the witness lost its own, or if just now any run was cut while no handler ran: then something cuts
        connections. At most a hundred times in a row.
        """
        if event_id not in self._just_cut and not self._sees_cuts():
            self.forget(event_id)
            return False
        self._just_cut.discard(event_id)
        self._cuts[event_id] += 1
        return self._cuts[event_id] <= _MOST_CUTS

    def note_cut(self) -> None:
        """A connection was lost while no handler ran."""
        self._cuts_seen.append(time.monotonic())

    def _sees_cuts(self) -> bool:
        return any(seen_at > time.monotonic() - _CUTS_GO_ON_SECONDS for seen_at in self._cuts_seen)

    def has_seen(self, event_id: str) -> bool:
        """Whether runs of this event were cut and none has ended otherwise since."""
        return event_id in self._cuts

    def forget(self, event_id: str) -> None:
        """The runs of this event came to an end, whatever it was."""
        self._cuts.pop(event_id, None)

    async def _connect(self, held: AsyncExitStack) -> "Connection | None":
        with suppress(DatabaseUnavailable):
            return await held.enter_async_context(self.database.acquire(within_seconds=_OPEN_SECONDS))
        return None


async def _is_lost(connection: Connection) -> bool:
    try:
        await connection.execute("SELECT 1", timeout=_ANSWER_SECONDS)
    except DATABASE_ERRORS:
        return True
    return False
