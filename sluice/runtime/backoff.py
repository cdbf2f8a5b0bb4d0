"""Pauses between tries of the same work; each is longer than the last."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Jitter: TypeAlias = Callable[[float], float]
"""Makes a pause a little longer or shorter, so that what failed together does not come back together."""


def exactly(seconds: float) -> float:
    """No jitter."""
    return seconds


def jitter(least: float, most: float = 1) -> Jitter:
    """A random pause between these shares of the one that is asked for."""
    return lambda seconds: seconds * random.uniform(least, most)


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    ``first_seconds`` after the first failure; then ``factor`` times as long after each, up to ``longest_seconds``.

    Args:
        spread: applied last, so a pause may exceed the longest by its jitter.
    """

    first_seconds: float
    longest_seconds: float
    factor: float = 2
    spread: Jitter = exactly

    def seconds(self, failures: int) -> float:
        """How long to wait after so many failures in a row, counted from 1."""
        try:
            pause = self.first_seconds * self.factor ** (failures - 1)
        except OverflowError:
            pause = self.longest_seconds
        return self.spread(min(pause, self.longest_seconds))
