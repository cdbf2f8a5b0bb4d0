"""
Decide whether the stream brings what is due: if not, the processor takes it from PostgreSQL itself.

A stream that does not answer is away, and so is one whose connection is lost again and again: what it sends is lost
with it and comes again after ack_wait. One that answers is stalled if it brings nothing to a processor that asks, while
PostgreSQL has more webhooks waiting than the stream has messages under way: its disk is full, it takes no message, or
messages were lost. A sound stream has a message under way for every webhook that waits.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from processor import metrics
from processor.queue.direct import QUERIES
from processor.queue.watermark import Watermark
from sluice.contract.subjects import CONSUMER
from sluice.failures import StreamUnavailable
from sluice.nats.broker import Broker
from sluice.nats.types import ConsumerProgress
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.runtime.endless import turn
from sluice.runtime.logs import get_logger

_LOOK_SECONDS = 0.5
_AGAIN_SECONDS = 0.1
_STALL_ENDS_SECONDS = 10.0
_LATE_RETRY_SECONDS = 5.0
"""A retry that is due is published within about a second; only one this much later counts as left behind."""
_MOST_UNDER_WAY = 1000
_FORGIVEN_SECONDS = 5.0
"""After so long without another one, a lost connection counts no more."""
_RESTLESS = 1.2
_MOST_RESTLESS = 2.0


class Condition(StrEnum):
    """How the stream is."""

    WELL = "well"
    AWAY = "away"
    """It does not answer."""
    STALLED = "stalled"
    """It answers, and brings nothing of what is due."""
    NONE = "none"
    """There is none: ``NATS_URL`` is empty."""


@dataclass
class StreamHealth:
    """Looks at the stream twice a second; ``condition`` is what it found."""

    stream: Broker | None
    database: Database
    grace_seconds: float = 2
    condition: Condition = Condition.WELL
    _silent_seconds: float = 0
    _hungry_seconds: float = 0
    """For how long the stream was asked and brought nothing."""
    _still_seconds: float = 0
    """For how long it has delivered nothing and heard of nothing done, while stalled or not."""
    _progress: ConsumerProgress | None = None
    _restlessness: float = 0
    """How many connections were lost lately."""
    _generation: int = 1
    _taken: bool = False
    _marks: Watermark = field(default_factory=Watermark)
    _cut: asyncio.Timeout | None = None

    def __post_init__(self) -> None:
        self._turn(Condition.NONE if self.stream is None else Condition.WELL)

    @property
    def is_away(self) -> bool:
        """Whether what is due is to be taken from PostgreSQL."""
        return self.condition is not Condition.WELL

    @property
    def brings_nothing(self) -> bool:
        """Whether asking the stream would only take time."""
        return self.condition in (Condition.AWAY, Condition.NONE)

    @property
    def is_stalled(self) -> bool:
        """Whether the stream answers and brings nothing of what is due."""
        return self.condition is Condition.STALLED

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        while self.stream is not None:
            turn()
            progress = await self._ask(self.stream)
            elapsed, looked_at = min(loop.time() - looked_at, 2 * _LOOK_SECONDS), loop.time()
            await self.saw(progress, elapsed_seconds=elapsed)
            await asyncio.sleep(_AGAIN_SECONDS if progress is None else _LOOK_SECONDS)

    async def saw(self, progress: ConsumerProgress | None, *, elapsed_seconds: float) -> None:
        """Take in the stream's answer, None if it did not answer, so long after the look before."""
        self._count_connections(elapsed_seconds)
        if progress is None:
            self._unanswered(elapsed_seconds)
        elif self._restlessness > _RESTLESS:
            self._turn(Condition.AWAY)
        else:
            await self._answered(progress, elapsed_seconds)

    def fetched(self, messages: int, *, seconds: float) -> None:
        """The stream was asked for so long and brought so many."""
        self._hungry_seconds = 0 if messages else self._hungry_seconds + seconds

    def took(self) -> None:
        """Something due was found in PostgreSQL."""
        self._taken = True

    @contextmanager
    def cutting_short(self, cut: asyncio.Timeout) -> Iterator[None]:
        """In this block a fetch waits that has no more to wait for once the stream is away."""
        self._cut = cut
        try:
            yield
        finally:
            self._cut = None

    async def _ask(self, stream: Broker) -> ConsumerProgress | None:
        if not stream.is_connected:
            return None
        with contextlib.suppress(StreamUnavailable):
            return await stream.consumer_progress(CONSUMER, within_seconds=_LOOK_SECONDS)
        return None

    def _count_connections(self, elapsed: float) -> None:
        generation = max(1, self.stream.generation) if self.stream is not None else 1
        new, self._generation = generation - self._generation, generation
        lately = max(0.0, self._restlessness - elapsed / _FORGIVEN_SECONDS) + new
        self._restlessness = min(lately, _MOST_RESTLESS)

    def _unanswered(self, elapsed: float) -> None:
        self._silent_seconds += elapsed
        if self._silent_seconds >= self.grace_seconds:
            self._turn(Condition.AWAY)

    async def _answered(self, progress: ConsumerProgress, elapsed: float) -> None:
        self._silent_seconds = 0
        has_moved = self._progress is None or progress.has_moved_since(self._progress)
        self._still_seconds = 0 if has_moved or self._taken else self._still_seconds + elapsed
        self._taken, self._progress = False, progress
        if self.condition is Condition.STALLED:
            if has_moved or self._still_seconds >= _STALL_ENDS_SECONDS:
                self._turn(Condition.WELL)
        elif await self._leaves_waiting(progress):
            self._turn(Condition.STALLED)
        else:
            self._turn(Condition.WELL)

    async def _leaves_waiting(self, progress: ConsumerProgress) -> bool:
        if self._hungry_seconds < self.grace_seconds:
            return False
        is_stuck = self._still_seconds >= self.grace_seconds
        under_way = progress.ack_pending + (0 if is_stuck else progress.pending)
        if under_way > _MOST_UNDER_WAY:
            return False
        try:
            return await self._waiting(under_way + 1) > under_way
        except DATABASE_ERRORS:
            self._marks.failed()
            return False

    async def _waiting(self, most: int) -> int:
        """How many webhooks have waited longer than the grace; counted to a limit."""
        self._marks.begin()
        grace = timedelta(seconds=self.grace_seconds)
        (row,) = await self.database.fetch(
            QUERIES["count_waiting"],
            self._marks.untried,
            grace,
            self._marks.tried,
            grace + timedelta(seconds=_LATE_RETRY_SECONDS),
            most,
        )
        self._marks.move(row["untried_from"], row["tried_from"], row["asked_at"])
        return int(row["waiting"])

    def _turn(self, condition: Condition) -> None:
        if condition is not self.condition:
            self._tell(condition)
        self.condition = condition
        metrics.DIRECT.set(self.is_away)
        if self.is_away and self._cut is not None and not self._cut.expired():
            self._cut.reschedule(asyncio.get_running_loop().time())

    def _tell(self, condition: Condition) -> None:
        level = get_logger().info if condition in (Condition.WELL, Condition.NONE) else get_logger().warning
        level("stream_condition_changed", condition=condition.value, takes_from_postgresql=condition != Condition.WELL)
