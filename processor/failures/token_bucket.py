"""At most so many of something: a burst, then a steady trickle."""

import time
from collections.abc import Callable


class TokenBucket:
    """A bucket of permits that refills by itself; durations come from the monotonic clock."""

    def __init__(self, *, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._permits = burst
        self._looked_at = clock()

    def permits(self) -> bool:
        """Take one permit, if there is one."""
        now = self._clock()
        self._permits = min(self._burst, self._permits + (now - self._looked_at) * self._per_second)
        self._looked_at = now
        if self._permits < 1:
            return False
        self._permits -= 1
        return True
