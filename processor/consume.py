"""
Fetch from the stream, hand over to a turn, again and again; nothing is fetched while PostgreSQL is away.

There are some lanes of this: while one waits for PostgreSQL, another decodes, folds or fetches. They meet on locked
rows as two processors would. Where little comes, one works at a time; see ``crowd``.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from processor import metrics
from processor.crowd import Crowd
from processor.outage import Outage
from processor.turn import Turns
from sluice.chassis.endless import run_endless, turn
from sluice.chassis.jetstream import IncomingMessage, JetStream

_FIRST_SIZE = 100
_LONG_SECONDS = 1.0


def next_size(size: int, *, taken: int, seconds: float, most: int) -> int:
    """
    How many messages to fetch next: twice as many while there are more and they go quickly, half when they took long.

    So a backlog of payments goes in large transactions, and handlers that take their time per event in small ones, far
    from their time limit.
    """
    if seconds > _LONG_SECONDS:
        return max(1, size // 2)
    if taken >= size and seconds < _LONG_SECONDS / 2:
        return min(size * 2, most)
    return size


@dataclass
class Consumer:
    """The work of the processor, in lanes."""

    stream: JetStream
    turns: Turns
    outage: Outage
    stop: asyncio.Event
    batch_size: int = 500
    """Messages in one fetch at most."""
    lanes: int = 1
    fetch_seconds: float = 1
    turned_at: float = 0
    """When the lane that is furthest behind last turned, by the monotonic clock; at most a few seconds ago."""
    crowd: Crowd = field(default_factory=Crowd)
    _size: int = _FIRST_SIZE
    _turned_at: dict[int, float] = field(default_factory=dict)
    _fetching: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Turn until the stop; what is in flight then is finished."""
        async with asyncio.TaskGroup() as group:
            for lane in range(self.lanes):
                group.create_task(run_endless(f"consume_{lane}", partial(self._run_lane, lane)), name=f"consume_{lane}")

    async def _run_lane(self, lane: int) -> None:
        while not self.stop.is_set():
            turn()
            await self.run_once()
            self._has_turned(lane)

    def _has_turned(self, lane: int) -> None:
        now = time.monotonic()
        self._turned_at[lane] = now
        self.turned_at = min(self._turned_at.values())
        metrics.LAST_TURN.set(time.time() - (now - self.turned_at))

    async def run_once(self) -> None:
        """One fetch and what it brought; or, in an outage, one look and a pause."""
        messages = await self._fetch()
        if not messages:
            return
        metrics.BATCH_EVENTS.observe(len(messages))
        metrics.REDELIVERED.inc(sum(message.deliveries > 1 for message in messages))
        began = time.monotonic()
        with self.crowd.working():
            await self.turns.take(messages)
        seconds = time.monotonic() - began
        self._size = next_size(self._size, taken=len(messages), seconds=seconds, most=self.batch_size)

    async def _fetch(self) -> Sequence[IncomingMessage]:
        """One lane at a time: the link has one pull, and what comes should fill one batch before the next."""
        async with self._fetching:
            await self.crowd.wants_one_more()
            if self.stop.is_set() or await self.outage.lasts():
                return ()
            size = min(self._size, self.batch_size)
            messages = await self.stream.fetch(size, within_seconds=self.fetch_seconds)
            self.crowd.fetched(len(messages), asked=size)
            return messages
