"""One turn: what one fetch brought is run, halved where it fails, put on record, and acknowledged after the commit."""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from processor.batches import Batch, plan, run_alone
from processor.outage import Outage
from processor.process import Processor
from processor.redelivery import Redelivery
from processor.report import Reporter
from processor.retries import Blame, blame, says_shutdown
from processor.setbacks import Setbacks
from processor.verdicts import Suspect, Verdict, Work, is_answered
from sluice.chassis.jetstream import IncomingMessage, acknowledge, give_back
from sluice.contract import codec
from sluice.failures import UnknownContractVersion

_MOST_COLLISIONS = 5
_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Turns:
    """Brings every message of a fetch to its end, or leaves it unacknowledged to come again."""

    processor: Processor
    setbacks: Setbacks
    redelivery: Redelivery
    reporter: Reporter
    outage: Outage
    stop: asyncio.Event
    hold_seconds: float = 15
    """How long messages are held at most before the next transaction begins, not counting an outage."""

    async def take(self, messages: Sequence[IncomingMessage]) -> None:
        """Work through the messages; what is not answered when time is up, or at a stop, comes again."""
        loop = asyncio.get_running_loop()
        expires = loop.time() + self.hold_seconds
        batches = deque(plan(self._read(messages)))
        while batches:
            if not await self.outage.lasts():
                batches.extendleft(reversed(await self._attempt(batches.popleft())))
            if self.outage.is_on:
                expires = loop.time() + self.hold_seconds  # whoever else got them would wait as long
            if self.stop.is_set() or loop.time() > expires:
                self._leave(batches)
                return

    def _leave(self, batches: Collection[Batch]) -> None:
        """Give these back; they come again soon, and do not wait as those of a process that died."""
        self.reporter.left_unacknowledged(batches)
        give_back([work.message for batch in batches for work in batch.works], after_seconds=_AGAIN_SECONDS)

    def _read(self, messages: Sequence[IncomingMessage]) -> Sequence[Work]:
        works, unreadable = [], []
        for message in messages:
            try:
                works.append(_work(message))
            except UnknownContractVersion as error:
                self.reporter.unreadable(message, error)
                unreadable.append(message)
        acknowledge(unreadable)
        return works

    async def _attempt(self, batch: Batch) -> Sequence[Batch]:
        """Run one batch; what has to run after it, next before the others."""
        try:
            if batch.alone:
                batch = batch.begun(await self.redelivery.begin(batch.works[0], lost=batch.starts > 0))
            verdicts = await self.processor.process(batch.works, alone=batch.alone, has_waited=batch.has_waited)
        except Exception as error:  # noqa: BLE001 - blame() has an answer for every kind
            return await self._failed(batch, error)
        self.outage.work_succeeded()
        return self._answer(batch, verdicts)

    def _answer(self, batch: Batch, verdicts: Mapping[str, Verdict]) -> Sequence[Batch]:
        acknowledge([work.message for work in batch.works if is_answered(verdicts[work.event_id])])
        for work in batch.works:
            self.reporter.answered(work, verdicts[work.event_id])
        return [run_alone(work) for work in batch.works if isinstance(verdicts[work.event_id], Suspect)]

    async def _failed(self, batch: Batch, error: Exception) -> Sequence[Batch]:
        whose = blame(error)
        self.reporter.transaction_failed(batch, error, whose)
        if whose is Blame.UNCLEAR:
            return await self._lost(batch, error)
        batch = self._ended(batch)
        if whose is Blame.OUTAGE:
            return await self._wait(batch)
        if len(batch.works) > 1:
            return batch.halves(has_waited=whose is Blame.CONTENTION)
        if whose is Blame.COLLISION and batch.collisions < _MOST_COLLISIONS:
            return (batch.after_collision(),)
        return await self._record(batch, error, whose)

    async def _lost(self, batch: Batch, error: Exception) -> Sequence[Batch]:
        """The connection went: nobody's doing if PostgreSQL stops; else it shows whose when each runs by itself."""
        has_answer = await self.outage.has_answer()
        if not has_answer and says_shutdown(error):
            return await self._wait(self._ended(batch))
        if not has_answer:
            self.outage.begin()
        if not batch.alone:
            return batch.halves() if has_answer and len(batch.works) > 1 else [run_alone(work) for work in batch.works]
        verdict = self.redelivery.verdict(batch.starts, error)
        if verdict is None:
            return (batch,)
        return await self._record(batch, verdict, Blame.EVENT, starts=self.redelivery.most_starts - 1)

    def _ended(self, batch: Batch) -> Batch:
        """The same events; a run alone that has ended does not count as one that took something down."""
        if batch.alone:
            self.redelivery.end(batch.works[0])
        return batch.begun(0)

    async def _record(self, batch: Batch, error: Exception, whose: Blame, *, starts: int = 0) -> Sequence[Batch]:
        work = batch.works[0]
        try:
            verdict = await self.setbacks.record(work, error, whose, starts=starts)
        except Exception as problem:  # noqa: BLE001 - without a record there is no acknowledgement, whatever the reason
            self.reporter.transaction_failed(batch, problem, Blame.OUTAGE)
            return await self._wait(batch)
        self.reporter.failed(work, verdict, error)
        return self._answer(batch, {work.event_id: verdict})

    async def _wait(self, batch: Batch) -> Sequence[Batch]:
        self.outage.begin()
        await self.outage.pause()
        return (batch,)


def _work(message: IncomingMessage) -> Work:
    envelope = codec.decode(message.payload)
    if "\x00" in envelope.event.stripe_event_id:
        raise UnknownContractVersion
    return Work(event=envelope.event, attempt=envelope.attempt, message=message)
