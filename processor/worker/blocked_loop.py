"""Note which handler held the event loop, and for how long: all that had a deadline meanwhile missed it."""

from collections import deque
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from processor import metrics
from sluice.runtime import loop_lag

NOTED_SECONDS = 0.1
BLOCKING_SECONDS = 1.0
"""A handler that holds the loop for longer runs apart from then on."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One step of a handler that took long; times are monotonic seconds."""

    handler: str
    events: AbstractSet[str]
    began: float
    ended: float

    def seconds(self, since: float) -> float:
        """How much of it was after a moment."""
        return max(0.0, self.ended - max(self.began, since))


@dataclass
class BlockedLoop:
    """The long steps of the last minutes, in one event loop."""

    is_main: bool = True
    """Whether it is the loop whose lag is watched; the others are noted from their own threads."""

    on_blocking: Callable[[str, float], object] = lambda _handler, _seconds: None
    """Told of a handler that blocked the loop, and for how many seconds."""
    _holds: deque[Hold] = field(default_factory=lambda: deque(maxlen=100))

    def note(self, handler: str, events: AbstractSet[str], began: float, ended: float) -> None:
        """Note one step of a handler, if it was long."""
        seconds = ended - began
        if seconds < NOTED_SECONDS:
            return
        metrics.LOOP_HELD_SECONDS.labels(handler).observe(seconds)
        self._holds.append(Hold(handler, events, began, ended))
        if seconds >= BLOCKING_SECONDS:
            self.on_blocking(handler, seconds)

    def by_others(self, events: AbstractSet[str], *, since: float) -> float:
        """For how many seconds since then the loop did not turn for another reason than these events' handlers."""
        own = sum(hold.seconds(since) for hold in self.of(events))
        known = sum(hold.seconds(since) for hold in tuple(self._holds))
        lag = loop_lag.late_seconds(since=since) if self.is_main else 0.0
        return max(known, lag) - own

    def of(self, events: AbstractSet[str]) -> Sequence[Hold]:
        """Those of these events' handlers."""
        return [hold for hold in tuple(self._holds) if not hold.events.isdisjoint(events)]
