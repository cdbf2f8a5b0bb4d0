"""One turn: what one fetch brought is run, halved where it fails, put on record, and acknowledged after the commit."""

import asyncio
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from processor.failures.classify import (
    Blame,
    HandlerFailed,
    LostOutsideHandlers,
    blame,
    hopeless_event,
    missed_deadline,
    says_shutdown,
)
from processor.failures.connection_witness import ConnectionWitness
from processor.failures.database_gate import DatabaseGate
from processor.failures.exclusive_run import ExclusiveRun
from processor.failures.failure_store import FailureStore
from processor.failures.isolated_runs import IsolatedRuns
from processor.outcome import MessageOutcome, Suspect, Work, is_answered
from processor.queue.released_messages import ReleasedMessages
from processor.worker.batch import Batch, plan, run_isolated
from processor.worker.blocked_loop import BlockedLoop
from processor.worker.reporter import Reporter
from processor.worker.transaction import Transactions
from sluice.contract import codec
from sluice.contract.event import StripeEvent
from sluice.failures import DatabaseUnavailable, Defect, UnknownContractVersion
from sluice.nats.jetstream import IncomingMessage, acknowledge, give_back
from sluice.postgres.pool import DATABASE_ERRORS

_MOST_COLLISIONS = 5
_MOST_SUSPECTS = 20
"""In hand at once: those that the next one takes down with the process have to come again."""
_SOON_SECONDS = 0.1
_AGAIN_SECONDS = 1.0
_MOST_RERUNS = 3
_HELD_SHARE = 0.25
"""Of a transaction's time: so much of it gone to others is why it was missed."""


class HeldTheLoop(Defect):
    """A handler kept the event loop from turning for so long that its transaction's time was up."""


class Bulkhead(Protocol):
    """Takes over events that would hold others up."""

    @property
    def is_on(self) -> bool:
        """Whether any handler may run apart now."""

    async def sort_out(self, works: Sequence[Work]) -> Sequence[Work]:
        """Take over some of a fetch; the rest runs here."""

    async def sort_out_again(self, works: Sequence[Work]) -> Sequence[Work]:
        """Take over some of a batch that failed; the rest runs here."""

    def accuse(self, error: Exception) -> None:
        """Learn of a failure that may show a handler that holds others up."""


class Pauses(Protocol):
    """Lets events wait that a pause covers."""

    async def set_aside(self, works: Sequence[Work]) -> Mapping[str, MessageOutcome]:
        """Let those wait that are covered; by id, what became of each that is not to run."""


@dataclass(frozen=True)
class Worker:
    """Brings every message of a fetch to its end, or leaves it unacknowledged to come again."""

    processor: Transactions
    failure_store: FailureStore
    isolated_runs: IsolatedRuns
    reporter: Reporter
    database_gate: DatabaseGate
    stop: asyncio.Event
    hold_seconds: float = 15
    """How long messages are held at most before the next transaction begins, not counting an outage."""
    routing: Bulkhead | None = None
    """Where events go that would hold others up; None: they run here."""
    left: ReleasedMessages = field(default_factory=ReleasedMessages)
    blocked_loop: BlockedLoop = field(default_factory=BlockedLoop)
    """Of the handlers that run in this event loop."""
    exclusive_run: ExclusiveRun = field(default_factory=ExclusiveRun)
    witness: ConnectionWitness | None = None
    pauses: Pauses | None = None
    """None: nothing is ever paused."""

    async def take(self, messages: Sequence[IncomingMessage]) -> None:
        """Work through the messages; what is not answered when time is up, or at a stop, comes again."""
        works = self._read(messages)
        with suppress(*DATABASE_ERRORS):  # each batch looks again
            works = await self._without_paused(works)
        works = self._without_too_many_suspects(works)
        if self.routing is not None:
            works = await self.routing.sort_out(works)
        await self.run(plan(works, begun=await self._begun(works)))

    def _without_too_many_suspects(self, works: Sequence[Work]) -> Sequence[Work]:
        """Give the rest back, so that other processors get it."""
        suspects = [work for work in works if work.is_redelivered and not work.is_taken_directly]
        if len(suspects) <= _MOST_SUSPECTS:
            return works
        surplus = set(suspects[_MOST_SUSPECTS:])
        give_back([work.message for work in works if work in surplus], after_seconds=_SOON_SECONDS)
        return [work for work in works if work not in surplus]

    async def _begun(self, works: Sequence[Work]) -> Collection[str]:
        """Those that have to run last; while PostgreSQL is away nothing runs, and the order does not matter."""
        with suppress(DatabaseUnavailable):
            return await self.isolated_runs.begun([work for work in works if work.is_redelivered])
        return ()

    async def run(self, batches: Iterable[Batch]) -> None:
        """Work through these batches, and what they fall apart into."""
        loop = asyncio.get_running_loop()
        expires = loop.time() + self.hold_seconds
        batches = deque(batches)
        planned = set(batches)
        while batches:
            if not await self.database_gate.lasts():
                rest = await self._attempt(batches.popleft())
                batches.extendleft(batch for batch in reversed(rest) if not batch.has_begun_before)
                batches.extend(batch for batch in rest if batch.has_begun_before)
            if self.database_gate.is_on:
                expires = loop.time() + self.hold_seconds  # any other processor that got them would wait as long
            if self.stop.is_set() or loop.time() > expires:
                self._leave(batches, planned)
                return

    def _leave(self, batches: Collection[Batch], planned: AbstractSet[Batch]) -> None:
        """Give these back; they come again soon, and those that have not failed here are no suspects then."""
        unbegun = (batch for batch in batches if batch in planned or batch.reruns)
        self.left.add(work for batch in unbegun for work in batch.works)
        self.reporter.left_unacknowledged(batches)
        give_back([work.message for batch in batches for work in batch.works], after_seconds=_AGAIN_SECONDS)

    def _read(self, messages: Sequence[IncomingMessage]) -> Sequence[Work]:
        works, unreadable = [], []
        for message in messages:
            try:
                works.append(self._work(message))
            except UnknownContractVersion as error:
                self.reporter.unreadable(message, error)
                unreadable.append(message)
        acknowledge(unreadable)
        return works

    def _work(self, message: IncomingMessage) -> Work:
        event, attempt = codec.decode(message.payload)
        if b"\x00" in message.payload and _holds_nul(event):  # no row holds it: PostgreSQL takes no such text
            raise UnknownContractVersion
        return Work(event=event, attempt=attempt, message=message, known_deliveries=self.left.take(message))

    async def _attempt(self, batch: Batch) -> Sequence[Batch]:
        """Run one batch, but for what is paused; what has to run after it, next before the others."""
        try:
            works = await self._without_paused(batch.works)
        except DATABASE_ERRORS as error:
            self.reporter.transaction_failed(batch, error, Blame.OUTAGE)
            return await self._wait(batch)
        if not works:
            return ()
        return await self._run(batch if len(works) == len(batch.works) else replace(batch, works=tuple(works)))

    async def _without_paused(self, works: Sequence[Work]) -> Sequence[Work]:
        """Let those wait that a pause covers, and answer their messages; the others may run."""
        results = {} if self.pauses is None else await self.pauses.set_aside(works)
        if not results:
            return works
        held = [work for work in works if work.event_id in results]
        self._acknowledge(held, results)
        return [work for work in works if work.event_id not in results]

    async def _run(self, batch: Batch) -> Sequence[Batch]:
        if (rest := await self._without_isolated(batch)) is not None:  # of a handler that is known since it was planned
            return rest
        if not batch.has_begun_before:
            return await self._attempt_now(batch)
        async with self.exclusive_run.exclusive():
            return await self._attempt_now(batch)

    async def _attempt_now(self, batch: Batch) -> Sequence[Batch]:
        began = time.monotonic()
        try:
            if batch.is_isolated:
                batch = batch.begun(await self.isolated_runs.begin(batch.works[0], lost=batch.starts > 0))
            async with self._watching(batch):
                results = await self.processor.process(
                    batch.works, isolated=batch.is_isolated, has_waited=batch.has_waited
                )
        except Exception as error:  # noqa: BLE001 - blame() has an answer for every kind
            return await self._failed(batch, error, began)
        self.database_gate.work_succeeded()
        return self._answer(batch, results)

    def _watching(self, batch: Batch) -> AbstractAsyncContextManager[None]:
        """A run alone after one that did not end is watched: should it end like that too, it matters why."""
        event_id = batch.works[0].event_id
        if self.witness is None or not (batch.starts > 1 or (batch.is_isolated and self.witness.has_seen(event_id))):
            return nullcontext()
        return self.witness.watching(event_id)

    def _answer(self, batch: Batch, results: Mapping[str, MessageOutcome]) -> Sequence[Batch]:
        self._acknowledge(batch.works, results)
        suspects = [work for work in batch.works if isinstance(results[work.event_id], Suspect)]
        return [run_isolated(work, has_begun_before=True) for work in suspects]

    def _acknowledge(self, works: Sequence[Work], results: Mapping[str, MessageOutcome]) -> None:
        acknowledge([work.message for work in works if is_answered(results[work.event_id])])
        for work in works:
            self.reporter.answered(work, results[work.event_id])

    async def _failed(self, batch: Batch, error: Exception, began: float) -> Sequence[Batch]:
        error = self._with_cause(batch, error, began)
        whose = blame(error)
        self.reporter.transaction_failed(batch, error, whose)
        was_held_up = self._was_held_up(batch, error, began)
        if self.routing is not None and not was_held_up:
            self.routing.accuse(error)
        if (rest := await self._without_isolated(batch)) is not None:
            return rest
        if was_held_up:
            return (self._ended(batch).after_hold(),)
        return await self._judge(batch, error, whose)

    async def _judge(self, batch: Batch, error: Exception, whose: Blame) -> Sequence[Batch]:
        if whose is Blame.UNCLEAR:
            return await self._lost(batch, error)
        batch = self._ended(batch)
        if whose is Blame.OUTAGE:
            return await self._wait(batch)
        if len(batch.works) > 1:
            return _parts(batch, error, whose)
        if whose is Blame.COLLISION and batch.collisions < _MOST_COLLISIONS:
            return (batch.after_collision(),)
        return await self._record(batch, error, whose)

    def _with_cause(self, batch: Batch, error: Exception, began: float) -> Exception:
        """Name the handler that made the transaction late, where one of its own held the loop for too long."""
        if not isinstance(error, TimeoutError):
            return error
        held: dict[str, float] = {}
        for hold in self.blocked_loop.of({work.event_id for work in batch.works}):
            held[hold.handler] = held.get(hold.handler, 0.0) + hold.seconds(began)
        for handler, seconds in held.items():
            if seconds > self.processor.limits.transaction_seconds / 2:
                cause = HeldTheLoop(f"{handler} held the event loop for {seconds:.1f} s")
                cause.__cause__ = error
                return cause
        return error

    async def _without_isolated(self, batch: Batch) -> Sequence[Batch] | None:
        """Hand over what held the others up; the rest of the batch, which runs at once. None: there is nothing such."""
        if self.routing is None or not self.routing.is_on:
            return None
        rest = tuple(await self.routing.sort_out_again(batch.works))
        if len(rest) == len(batch.works):
            return None
        batch = self._ended(batch)
        return (replace(batch, works=rest),) if rest else ()

    def _was_held_up(self, batch: Batch, error: Exception, began: float) -> bool:
        """Whether these events missed a deadline only because the event loop did not turn, not by their fault."""
        if not missed_deadline(error) or batch.reruns >= _MOST_RERUNS:
            return False
        ids = {work.event_id for work in batch.works}
        held = self.blocked_loop.by_others(ids, since=began)
        return held > self.processor.limits.transaction_seconds * _HELD_SHARE

    async def _lost(self, batch: Batch, error: Exception) -> Sequence[Batch]:
        """On a lost connection: wait if PostgreSQL stops, else run each event by itself to find the cause."""
        if self.witness is not None and isinstance(error, LostOutsideHandlers):
            self.witness.note_cut()
        has_answer = await self.database_gate.has_answer()
        if not has_answer and says_shutdown(error):
            return await self._wait(self._ended(batch))
        if not has_answer:
            self.database_gate.begin()
        if not batch.is_isolated:
            may_halve = has_answer and len(batch.works) > 1
            return batch.halves() if may_halve else [run_isolated(work) for work in batch.works]
        if has_answer and self._was_cut(batch):
            return await self._wait(self._ended(batch))
        result = self.isolated_runs.judge(batch.starts, error)
        if result is None:
            return (batch,)
        if self.witness is not None:
            self.witness.forget(batch.works[0].event_id)
        return await self._record(batch, result, Blame.EVENT, starts=self.isolated_runs.most_starts - 1)

    def _was_cut(self, batch: Batch) -> bool:
        return self.witness is not None and self.witness.saw_cut(batch.works[0].event_id)

    def _ended(self, batch: Batch) -> Batch:
        """The same events; a run alone that has ended does not count as one that took something down."""
        if batch.is_isolated:
            self.isolated_runs.end(batch.works[0])
        return batch.begun(0)

    async def _record(self, batch: Batch, error: Exception, whose: Blame, *, starts: int = 0) -> Sequence[Batch]:
        work = batch.works[0]
        try:
            result = await self.failure_store.record(work, error, whose, starts=starts)
        except Exception as problem:  # noqa: BLE001 - without a record there is no acknowledgement, whatever the reason
            self.reporter.transaction_failed(batch, problem, Blame.OUTAGE)
            return await self._wait(batch)
        self.reporter.failed(work, result, error)
        return self._answer(batch, {work.event_id: result})

    async def _wait(self, batch: Batch) -> Sequence[Batch]:
        self.database_gate.begin()
        await self.database_gate.pause()
        return (batch,)


def _parts(batch: Batch, error: Exception, whose: Blame) -> Sequence[Batch]:
    """Split a batch: events that the failed handler does not concern, and halves of the rest."""
    hopeless = hopeless_event(error)
    if hopeless is not None:
        return batch.apart_from(hopeless)
    concerned = error.events if isinstance(error, HandlerFailed) else frozenset()
    others = tuple(work for work in batch.works if work.event_id not in concerned)
    if not concerned or not others or whose is not Blame.EVENT:
        return batch.halves(has_waited=whose is Blame.CONTENTION)
    rest = replace(batch, works=tuple(work for work in batch.works if work.event_id in concerned))
    return (replace(batch, works=others), *(rest.halves() if len(rest.works) > 1 else (rest,)))


def _holds_nul(event: StripeEvent) -> bool:
    texts = (event.stripe_event_id, event.type, event.account, event.api_version, event.object_id, event.tenant)
    return any(text is not None and "\x00" in text for text in texts)
