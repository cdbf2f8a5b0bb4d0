"""Limit concurrent batches: one under light load, ``CONCURRENT_BATCHES`` in a backlog; large events go after them."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LATE_SECONDS = 0.025


class Concurrency:
    """
    Keeps loops back that would only cut the work into smaller pieces.

    Each batch costs the same number of trips to PostgreSQL, however small it is. A second loop that took what arrives
    during the first one's few milliseconds would double that cost, and on a busy machine make both slower.

    Args:
        late_seconds: a batch that takes longer holds the others up no more: the next loop begins.
    """

    def __init__(self, *, late_seconds: float = _LATE_SECONDS) -> None:
        self._late_seconds = late_seconds
        self._is_there = False
        self._began: dict[object, float] = {}
        self.batches_ended = 0
        """Of the loops, since the start."""
        self._one_has_ended = asyncio.Event()

    def fetched(self, taken: int, *, asked: int) -> None:
        """A fetch brought so many messages of those it asked for."""
        self._is_there = taken >= asked
        self._one_has_ended.set()  # or none has to: those that wait look

    @contextmanager
    def working(self) -> Iterator[None]:
        """A loop has its batch in this block."""
        batch = object()
        self._began[batch] = time.monotonic()
        try:
            yield
        finally:
            del self._began[batch]
            self.batches_ended += 1
            self._one_has_ended.set()

    async def wants_one_more(self) -> None:
        """Return once a loop should fetch: more waits than one can take, or every batch in hand takes its time."""
        while not self._is_there and self._began:
            left = max(self._began.values()) + self._late_seconds - time.monotonic()
            if left <= 0:
                return
            self._one_has_ended.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._one_has_ended.wait()

    async def has_gone_first(self, batches_ended: int) -> None:
        """Return once one more batch has ended than so many; at once where there is no backlog."""
        while self._is_there and self.batches_ended <= batches_ended:
            self._one_has_ended.clear()
            await self._one_has_ended.wait()
