"""One deadline timer for all that wait equally long; a timer for each would cost more than verifying does."""

import asyncio
import time
from collections import deque
from typing import Protocol

from sluice.failures import Failure

_LOOK_SECONDS = 0.05


class Expirable(Protocol):
    """Something that waits; an ``asyncio.Future`` is one."""

    def done(self) -> bool:
        """Whether they have what they waited for."""

    def set_exception(self, failure: BaseException, /) -> None:
        """They waited in vain."""


class Deadline:
    """
    Fails those that are not done in time; at most 50 ms late.

    Args:
        seconds: how long each has, from ``watch``; equal for all, so that the first to come is the first to be late.
        failure: what a late one raises.
    """

    def __init__(self, seconds: float, failure: type[Failure]) -> None:
        self._seconds = seconds
        self._failure = failure
        self._watched: deque[tuple[float, Expirable]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, waiting: Expirable) -> None:
        """From now on, until it is done."""
        self._watched.append((time.monotonic() + self._seconds, waiting))
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_LOOK_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        while self._watched and (self._watched[0][1].done() or self._watched[0][0] <= now):
            _, waiting = self._watched.popleft()
            if not waiting.done():
                waiting.set_exception(self._failure())
        self._timer = loop.call_later(_LOOK_SECONDS, self._look, loop) if self._watched else None


def seconds_left(deadline: float) -> float:
    """Until a moment of the monotonic clock; a little, where it has passed."""
    return max(deadline - time.monotonic(), 0.01)
