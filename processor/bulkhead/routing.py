"""Which events run apart from all others: those of a handler that held others up, heavy ones, and one party's flood."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from processor.bulkhead.fair_share import loud_parties, share_of_each
from processor.bulkhead.quarantine import Fault, Quarantine
from processor.bulkhead.quiet_parties import QuietParties
from processor.bulkhead.side_worker import SideWorker, is_heavy, party_of
from processor.failures.classify import HandlerFailed
from processor.outcome import Work
from processor.worker.handler_call import HandlerEscaped, TaskLeftBehind
from processor.worker.reporter import Reporter
from sluice.contract.event import StripeEvent
from sluice.registry import Registry, name_of

_BYTES = 4 * 1024
"""A body counts once more for each of so many bytes."""
_UNNAMED = None
"""The platform stands for whatever party was found behind a flood."""
_SEEN_SECONDS = 60.0
"""For how long a party whose events came counts as waiting for its next ones."""


@dataclass(frozen=True)
class Routing:
    """Sorts out what would hold others up, and has it run beside the batches of all others."""

    registry: Registry
    quarantine: Quarantine
    reporter: Reporter
    slow: SideWorker
    blocking: SideWorker
    heavy: SideWorker
    """Also what is more than one party's share."""
    quiet_parties: QuietParties
    _seen_at: dict[str | None, float] = field(default_factory=dict)
    _names: dict[tuple[str, bool], Sequence[str]] = field(default_factory=dict)

    async def sort_out(self, works: Sequence[Work]) -> Sequence[Work]:
        """Those that run in company; the others are on their way."""
        workers: dict[SideWorker | None, list[Work]] = defaultdict(list)
        left = await self._shares(works)
        for work in works:
            workers[self._worker_of(work, left)].append(work)
        for worker, those in workers.items():
            if worker is not None:
                await worker.put(those)
        return workers[None]

    def _worker_of(self, work: Work, left: Counter[str]) -> SideWorker | None:
        match self.quarantine.fault_of(self._handlers(work.event)):
            case Fault.BLOCKING:
                return self.blocking
            case Fault.SLOW:
                return self.slow
        return self.heavy if is_heavy(work) or _is_too_many(work, left) else None

    async def _shares(self, works: Sequence[Work]) -> Counter[str]:
        """How many events of each loud party may run in company; empty while no quiet party waits."""
        counts = Counter(map(party_of, works))
        self._note_seen(counts)
        organisers = {party: count for party, count in counts.items() if party is not None}
        loud = loud_parties(organisers, size=len(works))
        if not loud or not await self._others_wait(loud):
            return Counter()
        return Counter(dict.fromkeys(loud, share_of_each(loud.values(), size=len(works))))

    async def _others_wait(self, loud: Collection[str]) -> bool:
        """Whether a quiet party's events came lately, or stand behind those of the loud ones."""
        if not self._seen_at.keys() <= set(loud):
            return True
        if not await self.quiet_parties.one_waits(loud):
            return False
        self._note_seen([_UNNAMED])
        return True

    def _note_seen(self, parties: Iterable[str | None]) -> None:
        now = time.monotonic()
        self._seen_at.update(dict.fromkeys(parties, now))
        for party in [party for party, seen_at in self._seen_at.items() if seen_at < now - _SEEN_SECONDS]:
            del self._seen_at[party]

    def _handlers(self, event: StripeEvent) -> Sequence[str]:
        kind = (event.type, event.tenant is None)
        if kind not in self._names:
            known = [name_of(handler) for handler in self.registry.handlers_of(event)]
            if not known:
                return ()
            self._names[kind] = known
        return self._names[kind]

    @property
    def is_on(self) -> bool:
        """Whether any handler may run apart now."""
        return self.quarantine.is_on

    async def sort_out_again(self, works: Sequence[Work]) -> Sequence[Work]:
        """Those of a batch that failed that run in company still: its handlers may be known for worse by now."""
        rest = []
        for work in works:
            worker = self._worker_of(work, Counter())
            if worker is None or worker is self.heavy:
                rest.append(work)
            else:
                await worker.put([work])
        return rest

    def accuse(self, error: Exception) -> None:
        """Let a handler run apart that used up its time or left a task at work; one that held the loop was noted."""
        if not isinstance(error, HandlerFailed):
            return
        match error.__cause__:
            case TimeoutError() | HandlerEscaped():
                self._accuse(error.handler, Fault.SLOW, "used up its time budget")
            case TaskLeftBehind():
                self._accuse(error.handler, Fault.SLOW, "left a task at work on its transaction")

    def blocked(self, handler: str, seconds: float) -> None:
        """Let a handler run apart that kept the event loop from turning."""
        self._accuse(handler, Fault.BLOCKING, f"held the event loop for {seconds:.1f} s")

    def _accuse(self, handler: str, fault: Fault, deed: str) -> None:
        for_seconds = self.quarantine.accuse(handler, fault)
        if for_seconds:
            self.reporter.runs_apart(handler, deed, for_seconds)

    def status(self) -> Mapping[str, str]:
        """For ``/status``: the handlers that run apart, and why."""
        return self.quarantine.status()


def _is_too_many(work: Work, left: Counter[str]) -> bool:
    party = party_of(work)
    if party is None or party not in left:
        return False
    left[party] -= 1 + len(work.event.body) // _BYTES
    return left[party] < 0
