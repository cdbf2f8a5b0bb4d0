"""A thread with an event loop of its own: a handler that blocks it blocks none here, at work and at the end."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import pytest

from processor.bulkhead.thread_loop import ThreadLoop
from processor.outcome import MessageOutcome, Work
from processor.worker.transaction import Limits, Processor
from sluice.failures import DatabaseUnavailable
from sluice.postgres.pool import Database


@dataclass
class Blocking:
    """A processor that does nothing but block."""

    seconds: float
    has_begun: threading.Event
    thread: int = 0

    async def process(self, works: Sequence[Work], *, isolated: bool, has_waited: bool) -> Mapping[str, MessageOutcome]:
        """Block."""
        del works, isolated, has_waited
        self.thread = threading.get_ident()
        self.has_begun.set()
        time.sleep(self.seconds)  # noqa: ASYNC251  the fault itself
        return {}


@asynccontextmanager
async def no_database() -> AsyncIterator[Database]:
    """It is never asked."""
    yield cast("Database", None)


async def test_the_other_loop_turns_while_it_is_blocked() -> None:
    """A timer of ours is not late, and the answer comes."""
    blocking = Blocking(1.0, threading.Event())
    async with ThreadLoop.open(no_database, lambda _: cast("Processor", blocking), Limits()) as own:
        running = asyncio.ensure_future(own.process(()))
        await asyncio.to_thread(blocking.has_begun.wait)
        assert not running.done()
        assert await running == {}
    assert blocking.thread != threading.get_ident()


async def test_a_handler_that_still_blocks_it_does_not_hold_up_the_end() -> None:
    """A second, and the process goes; the thread goes with it."""
    blocking = Blocking(20.0, threading.Event())
    began = time.monotonic()
    async with ThreadLoop.open(no_database, lambda _: cast("Processor", blocking), Limits()) as own:
        running = asyncio.ensure_future(own.process(()))
        await asyncio.to_thread(blocking.has_begun.wait)
        running.cancel()
    assert time.monotonic() - began < 15


async def test_a_start_that_fails_is_heard_of() -> None:
    """The caller learns why work there is not possible."""

    @asynccontextmanager
    async def away() -> AsyncIterator[Database]:
        raise DatabaseUnavailable
        yield

    async with ThreadLoop.open(away, lambda _: cast("Processor", None), Limits()) as own:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await own.process(())


async def test_it_costs_nothing_while_it_is_not_needed() -> None:
    """The thread begins with the first transaction."""
    before = threading.active_count()
    async with ThreadLoop.open(no_database, lambda _: cast("Processor", None), Limits()):
        assert threading.active_count() == before
