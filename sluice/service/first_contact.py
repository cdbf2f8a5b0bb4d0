"""Readiness waits for PostgreSQL once: until this process has reached it, or for so long that an outage is likelier."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from sluice.runtime import logs
from sluice.runtime.backoff import Backoff, jitter
from sluice.runtime.probes import JsonValue
from sluice.service.service import Service

NAME = "first_contact"
_BACKOFF = Backoff(0.2, 3, spread=jitter(0.5))


Ask = Callable[[], Awaitable[str | None]]


@asynccontextmanager
async def hold_readiness(service: Service, ask: Ask, *, limit_seconds: float) -> AsyncIterator[None]:
    """Keep a service unready until its first contact; arguments as of ``FirstContact``."""
    contact = FirstContact(ask, limit_seconds=limit_seconds)
    service.probes.add_readiness(NAME, contact.is_over, reason=contact.reason)
    service.probes.add_status(NAME, contact.status)
    asking = service.group.create_task(contact.run(), name=NAME)
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.wait([asking])


class FirstContact:
    """
    Holds readiness back until PostgreSQL took this process's first question; from then on it never looks again.

    A new release with a wrong password or an older schema therefore never gets ready, and its rollout stops. After
    ``limit_seconds`` it is over all the same: a service that starts in a long outage answers 503 for itself.

    Args:
        ask: gives None when all is well, else why not, in fixed words.
        limit_seconds: more than a rollout's progress deadline.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        limit_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._over_at = clock() + limit_seconds
        self._reason: str | None = "PostgreSQL was not asked yet"

    def is_over(self) -> bool:
        """Whether PostgreSQL took the first question, or the limit has passed."""
        return self._reason is None or self._clock() >= self._over_at

    def reason(self) -> str:
        """Why it is not over, for ``/readyz?verbose``."""
        return self._reason or ""

    def status(self) -> Mapping[str, JsonValue]:
        """The report for ``/status``: ``reached``, and ``problem`` as long as it was not."""
        return {"reached": self._reason is None, "problem": self._reason}

    async def run(self) -> None:
        """Ask until PostgreSQL takes it, with growing pauses."""
        failures = 0
        while (reason := await self._ask()) is not None:
            self._note(reason)
            failures += 1
            await asyncio.sleep(_BACKOFF.seconds(failures))
        self._reason = None
        logs.get_logger().info("postgres_reached")

    def _note(self, reason: str) -> None:
        told = f"PostgreSQL: {reason}"
        if told != self._reason:
            logs.get_logger().error("not_ready", reason=told)
        self._reason = told
