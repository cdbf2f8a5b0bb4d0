"""Whether there is work for one more lane: in a backlog for all of them, in a trickle for one."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LATE_SECONDS = 0.025


class Crowd:
    """
    Keeps lanes back that would only cut the work into smaller pieces.

    Each batch costs the same number of trips to PostgreSQL, however small it is. A second lane that took what arrives
    during the first one's few milliseconds would double that cost, and on a busy machine make both slower.

    Args:
        late_seconds: a batch that takes longer holds the others up no more: the next lane begins.
    """

    def __init__(self, *, late_seconds: float = _LATE_SECONDS) -> None:
        self._late_seconds = late_seconds
        self._is_there = False
        self._working = 0
        self._one_is_free = asyncio.Event()

    def fetched(self, taken: int, *, asked: int) -> None:
        """A fetch brought so many messages of those it asked for."""
        self._is_there = taken >= asked

    @contextmanager
    def working(self) -> Iterator[None]:
        """A lane has its batch in this block."""
        self._working += 1
        self._one_is_free.clear()
        try:
            yield
        finally:
            self._working -= 1
            self._one_is_free.set()

    async def wants_one_more(self) -> None:
        """Return once a lane should fetch: none works, more waits than one can take, or it takes its time."""
        if self._is_there or not self._working:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._late_seconds):
                await self._one_is_free.wait()
