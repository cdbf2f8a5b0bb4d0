"""Limit the requests a second to Stripe, in one mode; a caller waits for its turn."""

import asyncio
import time
from collections.abc import Callable


class Budget:
    """
    A token bucket: one request for each token, in the order of asking.

    Args:
        burst: tokens that gather while no request is made.
    """

    def __init__(
        self, per_second: float, *, burst: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = max(1.0, per_second if burst is None else burst)
        self._clock = clock
        self._tokens = self._burst
        self._filled_at = clock()
        self._paused_until = float("-inf")
        self._turn = asyncio.Lock()

    async def take(self) -> None:
        """Wait for a token and take it."""
        async with self._turn:
            while True:  # a pause may be asked for while we wait
                seconds = self._wait_seconds()
                if seconds <= 0:
                    break
                await asyncio.sleep(seconds)
            self._tokens -= 1

    def pause(self, seconds: float) -> None:
        """Give out none for so long, as Stripe asks with ``Retry-After``."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _wait_seconds(self) -> float:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if now < self._paused_until:
            return self._paused_until - now
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._per_second
