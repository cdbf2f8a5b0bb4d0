"""An event loop in a thread of its own, with connections of its own: a handler that blocks it blocks no other loop."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Self

from processor.outcome import MessageOutcome, Work
from processor.worker.transaction import Limits, Processor
from sluice.postgres.pool import Database

_CLOSE_SECONDS = 1.0


@contextmanager
def _frequent_switches() -> Iterator[None]:
    """A thread that computes gives way ten times as often: the other one asks for the interpreter with each answer."""
    usual_seconds = sys.getswitchinterval()
    sys.setswitchinterval(usual_seconds / 10)
    try:
        yield
    finally:
        sys.setswitchinterval(usual_seconds)


class ThreadLoop:
    """
    Runs transactions in its own thread, which begins with the first of them.

    Args:
        connect: opens the database; called, and used, in that thread alone.
        make: the processor on that database.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Database]],
        make: Callable[[Database], Processor],
        limits: Limits,
    ) -> None:
        self._connect = connect
        self._make = make
        self.limits = limits
        self._ready: Future[Processor] | None = None
        self._ended: Future[None] = Future()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        connect: Callable[[], AbstractAsyncContextManager[Database]],
        make: Callable[[Database], Processor],
        limits: Limits,
    ) -> AsyncIterator[Self]:
        """The loop, ended with this block unless a handler blocks it just then: it goes with the process."""
        own = cls(connect, make, limits)
        try:
            yield own
        finally:
            await own._end()

    async def process(
        self, works: Sequence[Work], *, isolated: bool = False, has_waited: bool = False
    ) -> Mapping[str, MessageOutcome]:
        """Run these events in one transaction there; as ``Processor.process``."""
        processor = await asyncio.wrap_future(self._begun())
        running = processor.process(works, isolated=isolated, has_waited=has_waited)
        with _frequent_switches():
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(running, self._loop))

    def _begun(self) -> "Future[Processor]":
        if self._ready is None or self._ended.done():
            self._ready, self._ended = Future(), Future()
            self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
            threading.Thread(target=self._run, args=(self._ready,), name="own_loop", daemon=True).start()
        return self._ready

    def _run(self, ready: "Future[Processor]") -> None:
        try:
            self._loop.run_until_complete(self._serve(ready))
        except BaseException as error:  # noqa: BLE001  raised again where the start is awaited
            if not ready.done():
                ready.set_exception(error)
        finally:
            self._loop.close()
            self._ended.set_result(None)

    async def _serve(self, ready: "Future[Processor]") -> None:
        async with self._connect() as database:
            ready.set_result(self._make(database))
            await self._stop.wait()

    async def _end(self) -> None:
        if self._ready is None:
            return
        with contextlib.suppress(RuntimeError):  # it has just ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.wait([asyncio.wrap_future(self._ended)], timeout=_CLOSE_SECONDS)
