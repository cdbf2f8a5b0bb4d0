"""The pauses as this process knows them, and the way out of one that has ended."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from processor import metrics
from sluice.contract.thin import plain_type
from sluice.inbox import pauses
from sluice.inbox.pauses import Pause, Traits, Waiting
from sluice.postgres.pool import DATABASE_ERRORS, Connection, Database
from sluice.registry import Registry, name_of
from sluice.runtime.endless import turn
from sluice.runtime.logs import get_logger
from sluice.runtime.probes import JsonValue

FRESH_SECONDS = 1.0
"""A batch begins with no older look."""
_TOGETHER = 500
_PACE_SECONDS = 0.25
"""Between two steps: 2,000 webhooks a second, as many as one relay publishes."""


@dataclass
class KnownPauses:
    """Pauses as they stood at most a second ago: one look for all batches of that second."""

    database: Database
    registry: Registry
    clock: Callable[[], float] = time.monotonic
    _known: Sequence[Pause] = ()
    _looked_at: float = float("-inf")
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def in_force(self) -> Sequence[Pause]:
        """
        Tell what is paused, the oldest first.

        Raises:
            DatabaseUnavailable: it cannot be known.
        """
        return [pause for pause in await self._current() if not pause.is_over]

    async def over(self) -> Sequence[Pause]:
        """
        Tell which pauses have ended and may hold webhooks yet.

        Raises:
            DatabaseUnavailable: it cannot be known.
        """
        return [pause for pause in await self._current() if pause.is_over]

    def forget(self) -> None:
        """Let the next look read them again."""
        self._looked_at = float("-inf")

    def covering(self, in_force: Sequence[Pause], webhook: Traits) -> Pause | None:
        """The oldest pause that covers a webhook; None: it may run."""
        return next((pause for pause in in_force if pause.covers(webhook, self._handlers_of)), None)

    def status(self) -> Mapping[str, JsonValue]:
        """For ``/status``: the pauses that this process heeds."""
        return {
            str(pause.id): f"{pause.kind} {pause.value or ''}".rstrip() for pause in self._known if not pause.is_over
        }

    async def _current(self) -> Sequence[Pause]:
        if self._is_stale:
            async with self._looking:
                if self._is_stale:
                    began = self.clock()
                    self._known = await pauses.read_pauses(self.database)
                    self._looked_at = began
        return self._known

    @property
    def _is_stale(self) -> bool:
        return self.clock() - self._looked_at > FRESH_SECONDS

    def _handlers_of(self, webhook: Traits) -> Collection[str]:
        """Of a thin event those of the event that it stands for."""
        handlers = self.registry.handlers_by(plain_type(webhook.event_type), webhook.tenant)
        return [name_of(handler) for handler in handlers]


@dataclass
class Resumption:
    """Lets go what waits for pauses that have ended, in the order in which it came, no faster than relays send it."""

    database: Database
    known: KnownPauses
    stop: asyncio.Event
    _after: int = 0
    """The place up to which webhooks were let go in this round."""

    async def run(self) -> None:
        """Look each second, and go on at a steady pace while there is something to let go."""
        while not self.stop.is_set():
            turn()
            has_more = False
            try:
                has_more = await self.run_once()
            except DATABASE_ERRORS as error:
                get_logger().info("paused_webhooks_not_let_go", error=type(error).__name__)
            await self._rest(_PACE_SECONDS if has_more else FRESH_SECONDS)

    async def run_once(self) -> bool:
        """Let some go; whether there may be more."""
        over = await self.known.over()
        if not over:
            return False
        in_force = await self.known.in_force()
        async with self.database.acquire() as connection, connection.transaction():
            if not await pauses.may_let_go(connection):
                return True
            waiting = await pauses.take(
                connection, [pause.id for pause in over], after=self._after, rows_at_most=_TOGETHER
            )
            await self._let_go(connection, in_force, waiting)
        if not waiting and not self._after:
            self.known.forget()
            return False
        self._after = waiting[-1].position if waiting else 0
        return True

    async def _let_go(self, connection: Connection, in_force: Sequence[Pause], waiting: Sequence[Waiting]) -> None:
        if not waiting:
            await pauses.note_empty(connection)
            return
        others = {one.stripe_event_id: self.known.covering(in_force, one.webhook) for one in waiting}
        let_go = await pauses.let_go(
            connection, {event_id: None if other is None else other.id for event_id, other in others.items()}
        )
        metrics.LET_GO.inc(let_go)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            return
