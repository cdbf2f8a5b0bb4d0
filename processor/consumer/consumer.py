"""
Fetch from the stream, hand over to a turn, again and again; nothing is fetched while PostgreSQL is away.

While the stream brings nothing, what is due is taken from PostgreSQL instead; see ``stream_health``.

There are some loops of this: while one waits for PostgreSQL, another decodes, folds or fetches. They meet on locked
rows as two processors would. Where little comes, one works at a time; see ``concurrency``.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from processor import metrics
from processor.consumer.stream_health import StreamHealth
from processor.failures.database_gate import DatabaseGate
from processor.queue.direct import Direct
from processor.queue.leases import Leases
from processor.worker.concurrency import Concurrency
from processor.worker.worker import Worker
from sluice.nats.broker import Broker
from sluice.nats.types import IncomingMessage
from sluice.postgres.pool import DATABASE_ERRORS
from sluice.runtime.endless import run_endless, turn
from sluice.runtime.logs import get_logger

_FIRST_SIZE = 100
_YOUNGEST_SECONDS = 0.25
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
    """The work of the processor, in loops, each with one batch at a time."""

    stream: Broker | None
    worker: Worker
    database_gate: DatabaseGate
    stop: asyncio.Event
    direct: Direct
    watch: StreamHealth
    leases: Leases
    batch_size: int = 500
    """Messages in one fetch at most."""
    loops: int = 1
    fetch_seconds: float = 1
    turned_at: float = 0
    """When the loop that is furthest behind last turned, by the monotonic clock; at most a few seconds ago."""
    concurrency: Concurrency = field(default_factory=Concurrency)
    _size: int = _FIRST_SIZE
    _turned_at: dict[int, float] = field(default_factory=dict)

    async def run(self) -> None:
        """Turn until the stop; what is in flight then is finished."""
        async with asyncio.TaskGroup() as group:
            jobs = {"in_hand": self.leases.run, **({} if self.stream is None else {"stream_watch": self.watch.run})}
            beside = [group.create_task(run_endless(name, job), name=name) for name, job in jobs.items()]
            async with asyncio.TaskGroup() as loops:
                for loop in range(self.loops):
                    name = f"consume_{loop}"
                    loops.create_task(run_endless(name, partial(self._run_loop, loop)), name=name)
            for task in beside:
                task.cancel()
        await self.direct.release()

    async def _run_loop(self, loop: int) -> None:
        while not self.stop.is_set():
            turn()
            await self.run_once()
            self._has_turned(loop)

    def _has_turned(self, loop: int) -> None:
        now = time.monotonic()
        self._turned_at[loop] = now
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
        with self.concurrency.working(), self.worker.exclusive_run.working(), self.leases.holding(messages):
            await self.worker.take(messages)
        seconds = time.monotonic() - began
        self._size = next_size(self._size, taken=len(messages), seconds=seconds, most=self.batch_size)

    async def _fetch(self) -> Sequence[IncomingMessage]:
        """One loop at a time: the link has one pull, and what comes should fill one batch before the next."""
        async with self.worker.exclusive_run.fetching:
            await self.concurrency.wants_one_more()
            if self.stop.is_set() or await self.database_gate.lasts():
                return ()
            size = min(self._size, self.batch_size)
            messages = await self._take(size)
            self.concurrency.fetched(len(messages), asked=size)
            return messages

    async def _take(self, size: int) -> Sequence[IncomingMessage]:
        """From PostgreSQL while the stream is away; else, and where nothing is due there, from the stream."""
        messages: Sequence[IncomingMessage] = ()
        if self.watch.is_away:
            messages = await self._take_due(size)
        if messages:
            self.watch.took()
        elif self.stream is None or self.watch.brings_nothing:
            await self._rest()
        else:
            messages = await self._take_sent(self.stream, size)
        return messages

    async def _take_due(self, size: int) -> Sequence[IncomingMessage]:
        """A stream that answers may bring what is young after all."""
        youngest = 0 if self.watch.brings_nothing else _YOUNGEST_SECONDS
        try:
            return await self.direct.fetch(size, least_age_seconds=youngest)
        except DATABASE_ERRORS as error:
            get_logger().warning("due_webhooks_not_read", error=type(error).__name__)
            self.database_gate.begin()
            await self.database_gate.pause()
            return ()

    async def _take_sent(self, stream: Broker, size: int) -> Sequence[IncomingMessage]:
        """No longer than until the stream is found to be away."""
        wait = self.direct.pause_seconds if self.watch.is_away else self.fetch_seconds
        messages: Sequence[IncomingMessage] = ()
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as cut:
                with self.watch.cutting_short(cut):
                    messages = await stream.fetch(size, within_seconds=wait)
        self.watch.fetched(len(messages), seconds=time.monotonic() - began)
        return messages

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.direct.pause_seconds):
                await self.stop.wait()
