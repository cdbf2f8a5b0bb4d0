"""A worker beside the others, for events that would hold others up; each party has its turn, one after the other."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from processor.outcome import Work
from processor.queue.deferral import Deferral
from processor.queue.leases import Leases
from processor.worker.batch import Batch, about_facts, plan
from processor.worker.concurrency import Concurrency
from processor.worker.worker import Worker
from sluice.runtime.endless import turn

_IDLE_SECONDS = 5.0
_REST = 2.0
"""Times what a transaction took."""
_PATIENCE_SECONDS = 1.0
"""How long the loops may take to end a batch; a handler that hangs there does not stop this one."""
HEAVY_BYTES = 64 * 1024
HEAVY_FACTS = 100
"""An event of that length, or that says so much, or that did not fit into its message, is a batch of its own."""


def is_heavy(work: Work) -> bool:
    """Whether an event may say so much that it should hold no other up."""
    body = work.event.body
    if work.is_taken_directly:
        return False  # its body is not known yet; FACTS_MAX bounds what it may say
    return not body or len(body) > HEAVY_BYTES or about_facts(work) > HEAVY_FACTS


def party_of(work: Work) -> str | None:
    """The organiser, or the connected account, whose event it is; None for the platform's own."""
    return work.event.tenant or work.event.account


class _Queued(NamedTuple):
    work: Work
    since: float
    kept: object
    """What ``leases`` has of it."""


@dataclass(eq=False)
class SideWorker:
    """
    Runs what is put into it, beside the batches of all others.

    What does not fit, or waits for so long that its message will come again, is left to the relay, with no attempt
    counted.
    """

    worker: Worker
    deferral: Deferral
    stop: asyncio.Event
    leases: Leases
    """Tells that it has them, so that they are not delivered again meanwhile."""
    together: int = 1
    """Events of one party in one transaction at most."""
    after: Concurrency | None = None
    """
    The loops that go first. After each transaction this one pauses for twice as long as that took, so it has a third of
    the time at most; and in a backlog until they have ended one more batch.
    """
    most: int = 1_000
    _ids: set[str] = field(default_factory=set)
    """Of the events that wait here, or run."""
    _waiting: "OrderedDict[str | None, deque[_Queued]]" = field(default_factory=OrderedDict)
    _count: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def put(self, works: Sequence[Work]) -> None:
        """Run these when it is their turn; what waits here already, and came once more without NATS, is put off."""
        now = time.monotonic()
        new = [work for work in works if work.event_id not in self._ids]
        free = max(0, self.most - self._count)
        for work in new[:free]:
            self._ids.add(work.event_id)
            queued = _Queued(work, now, self.leases.keep([work.message]))
            self._waiting.setdefault(party_of(work), deque()).append(queued)
        self._count += len(new[:free])
        self._arrived.set()
        await self.deferral.defer([*new[free:], *(work for work in works if work not in new)])

    async def run(self) -> None:
        """Work until the stop; what waits then comes again."""
        while not self.stop.is_set():
            turn()
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._arrived.wait()
            while self._count and not self.stop.is_set():
                turn()
                await self.run_once()
            self._arrived.clear()

    async def run_once(self) -> None:
        """The next party's next transaction."""
        taken = self._next()
        try:
            await self._run(taken)
        finally:
            for queued in taken:
                self._ids.discard(queued.work.event_id)
                self.leases.let_go(queued.kept)

    async def _run(self, taken: Sequence[_Queued]) -> None:
        late = time.monotonic() - self.worker.hold_seconds
        await self.deferral.defer([queued.work for queued in taken if queued.since < late])
        works = [queued.work for queued in taken if queued.since >= late]
        if not works:
            return
        began = time.monotonic()
        ended = self.after.batches_ended if self.after is not None else 0
        await self.worker.run(self._plan(works))
        if self.after is not None:
            await self._rest(_REST * (time.monotonic() - began))
            await self._let_go_first(self.after, ended)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stop.wait()

    async def _let_go_first(self, loops: Concurrency, ended: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await loops.has_gone_first(ended)

    def _plan(self, works: Sequence[Work]) -> Sequence[Batch]:
        return plan(works)

    def _next(self) -> Sequence[_Queued]:
        """Some of one party's, which goes to the end of the row."""
        party, waiting = self._waiting.popitem(last=False)
        taken = [waiting.popleft()]
        while waiting and len(taken) < self.together and not (is_heavy(taken[0].work) or is_heavy(waiting[0].work)):
            taken.append(waiting.popleft())
        if waiting:
            self._waiting[party] = waiting
        self._count -= len(taken)
        return taken
