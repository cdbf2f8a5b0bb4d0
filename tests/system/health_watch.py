"""When health names a fault, and when it is well again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

_LOOK_SECONDS = 0.2
_UNANSWERED = frozenset({"no_answer"})


@dataclass
class HealthWatch:
    """Asks the gateway for health again and again, as a person's browser does; times are monotonic."""

    gateway_url: str
    _seen: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    _is_over: bool = False

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look while the block runs."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            task = group.create_task(self._look(session))
            try:
                yield
            finally:
                self._is_over = True  # should a library swallow the cancellation
                task.cancel()

    @property
    def reasons(self) -> frozenset[str]:
        """The reasons of its last answer."""
        return self._seen[-1][1] if self._seen else _UNANSWERED

    def named_after(self, began: float, usual: frozenset[str]) -> float | None:
        """Seconds until it gave a reason that is not usual; None: never."""
        named = [at for at, reasons in self._seen if at >= began and reasons - usual]
        return named[0] - began if named else None

    def well_after(self, ended: float, usual: frozenset[str]) -> float:
        """Seconds until it gave no such reason any more."""
        ill = [at for at, reasons in self._seen if at >= ended and reasons - usual]
        return max(ill) + _LOOK_SECONDS - ended if ill else 0.0

    def named(self, began: float, usual: frozenset[str]) -> frozenset[str]:
        """Every reason that was not usual since then."""
        return frozenset().union(*(reasons - usual for at, reasons in self._seen if at >= began))

    async def _look(self, session: aiohttp.ClientSession) -> None:
        while not self._is_over:
            reasons = _UNANSWERED
            with suppress(aiohttp.ClientError, TimeoutError):
                timeout = aiohttp.ClientTimeout(total=2)
                async with session.get(f"{self.gateway_url}/api/health", timeout=timeout) as answer:
                    reasons = frozenset(each["reason"] for each in (await answer.json())["reasons"])
            self._seen.append((time.monotonic(), reasons))
            await asyncio.sleep(_LOOK_SECONDS)
