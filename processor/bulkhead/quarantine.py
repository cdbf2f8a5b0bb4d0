"""Handlers that have held others up: for a while their events run apart from all others."""

import enum
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sluice.runtime.backoff import Backoff

FIRST_SECONDS = 60.0
LONGEST_SECONDS = 3600.0
_SECONDS = Backoff(FIRST_SECONDS, LONGEST_SECONDS)
OWN = "processor."
"""Sluice's own handlers stay where they are: apart they would take nearly every event with them."""


class Fault(enum.Enum):
    """In which way a handler holds others up."""

    SLOW = "slow"
    """It used up its time budget while it waited for something, or left a task at work on its transaction."""
    BLOCKING = "blocking"
    """It kept the event loop from turning."""


@dataclass
class _Sentence:
    fault: Fault
    offences: int
    until: float

    @property
    def seconds(self) -> float:
        return _SECONDS.seconds(self.offences)


@dataclass
class Quarantine:
    """Which handlers run apart now; each time for longer, and forgotten after as long without another fault."""

    clock: Callable[[], float] = time.monotonic
    _sentences: dict[str, _Sentence] = field(default_factory=dict)

    @property
    def is_on(self) -> bool:
        """Whether any handler has been accused lately."""
        return bool(self._sentences)

    def accuse(self, handler: str, fault: Fault) -> float:
        """Let this handler run apart from now on; for how many seconds if it does not already, else 0."""
        if handler.startswith(OWN):
            return 0
        known = self._known(handler)
        is_new = known is None or known.until <= self.clock() or (known.fault, fault) == (Fault.SLOW, Fault.BLOCKING)
        offences = 1 if known is None else known.offences + is_new
        seconds = _SECONDS.seconds(offences)
        worst = Fault.BLOCKING if known is not None and known.fault is Fault.BLOCKING else fault
        self._sentences[handler] = _Sentence(worst, offences, self.clock() + seconds)
        return seconds if is_new else 0

    def fault_of(self, handlers: Iterable[str]) -> Fault | None:
        """Why an event with these handlers runs apart; None: it does not."""
        if not self._sentences:
            return None
        faults = {known.fault for one in handlers if (known := self._known(one)) and known.until > self.clock()}
        return Fault.BLOCKING if Fault.BLOCKING in faults else next(iter(faults), None)

    def status(self) -> Mapping[str, str]:
        """Each handler that runs apart now, and why."""
        now = self.clock()
        return {handler: one.fault.value for handler, one in list(self._sentences.items()) if one.until > now}

    def _known(self, handler: str) -> _Sentence | None:
        known = self._sentences.get(handler)
        if known is not None and known.until + known.seconds < self.clock():
            self._sentences.pop(handler, None)
            return None
        return known
