"""Run one event while this process has no other in hand: should the process die of it, no other event waits."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

_PATIENCE_SECONDS = 2.0
"""How long the others may take to end; a handler that hangs does not keep the event waiting for ever."""


class ExclusiveRun:
    """Knows which loops have messages in hand; ``fetching`` is held by the one that fetches more."""

    def __init__(self) -> None:
        self.fetching = asyncio.Lock()
        self._working: set[asyncio.Task[object] | None] = set()
        self._one_has_ended = asyncio.Event()
        self._not_before = 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        """The loop of this task has messages in hand in this block."""
        loop = asyncio.current_task()
        self._working.add(loop)
        try:
            yield
        finally:
            self._leave(loop)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """
        No loop fetches in this block, and the others have ended what they had, or were given two seconds.

        But after such a block the loops have at least as long for themselves: one that comes then is not exclusive.
        """
        if time.monotonic() < self._not_before:
            yield
            return
        began = time.monotonic()
        loop = asyncio.current_task()
        was_working = loop in self._working
        self._leave(loop)  # two loops that wait for each other would wait in vain
        async with self.fetching:
            await self._others_end()
            try:
                yield
            finally:
                self._not_before = 2 * time.monotonic() - began
                if was_working:
                    self._working.add(loop)

    def _leave(self, loop: "asyncio.Task[object] | None") -> None:
        self._working.discard(loop)
        self._one_has_ended.set()

    async def _others_end(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._working and (left := deadline - time.monotonic()) > 0:
            self._one_has_ended.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._one_has_ended.wait()
