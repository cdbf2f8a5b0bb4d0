"""Schedule the attempts of a failed event; pure, no I/O."""

from dataclasses import dataclass
from functools import cached_property

from sluice.runtime.backoff import Backoff, Jitter, jitter

_SPREAD = jitter(0.85, 1.15)


@dataclass(frozen=True)
class Schedule:
    """
    How long to wait after each failed attempt: each wait is a constant factor longer than the last.

    The factor is the one with which the waits between the attempts add up to ``over_seconds``.
    """

    attempts: int = 16
    over_seconds: float = 72 * 3600
    first_seconds: float = 5
    spread: Jitter = _SPREAD

    def is_last(self, attempt: int) -> bool:
        """Whether the attempt, counted from 1, is the last one."""
        return attempt >= self.attempts

    def delay_seconds(self, attempt: int) -> float:
        """How long to wait after a failed attempt, counted from 1; with jitter."""
        return self.spread(self._backoff(self._factor).seconds(min(attempt, self.attempts)))

    def _backoff(self, factor: float) -> Backoff:
        return Backoff(self.first_seconds, max(self.over_seconds / 6, self.first_seconds), factor)

    @cached_property
    def _factor(self) -> float:
        low, high = 1.0, 16.0
        for _ in range(40):
            middle = (low + high) / 2
            backoff = self._backoff(middle)
            total = sum(backoff.seconds(attempt) for attempt in range(1, self.attempts))
            low, high = (middle, high) if total < self.over_seconds else (low, middle)
        return low


@dataclass(frozen=True)
class Patience:
    """How often a parked event looks for the row that it names, and for how long."""

    patience_seconds: float = 7 * 24 * 3600
    first_seconds: float = 5
    longest_seconds: float = 600
    spread: Jitter = _SPREAD

    def delay_seconds(self, attempt: int) -> float:
        """How long to wait after the event was parked; attempts count from 1."""
        return Backoff(self.first_seconds, self.longest_seconds, spread=self.spread).seconds(attempt)
