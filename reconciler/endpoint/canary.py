"""
Ping our thin destination at Stripe again and again, and look whether each ping comes back the whole way.

Stripe sends it to ingest, ingest records it, the processor settles it: its row is the echo. So silence is seen also
where hours pass between two payments.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from reconciler.endpoint import metrics
from reconciler.endpoint.listing import DESTINATIONS, thin_destination
from reconciler.failures import StripeUnavailable
from reconciler.stripe_api import StripeApi
from sluice.failures import Failure
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.sql import load_queries
from sluice.runtime import logs
from sluice.runtime.backoff import Backoff
from sluice.runtime.endless import turn
from sluice.runtime.probes import JsonValue

QUERIES = load_queries(__file__, "canary.sql")
_AGAIN_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 1.0
_REMEMBERED: Final = 10


class Sent(NamedTuple):
    """A ping that Stripe took."""

    event_id: str
    at: float
    """Seconds since the Unix epoch."""


class Canary:
    """
    One ping after the other; after one without an echo the next comes sooner.

    Args:
        url: of our endpoint; it is pinged where an enabled thin destination has it.
        echoes: those of these events that came the whole way.
    """

    def __init__(
        self,
        url: str,
        api: StripeApi,
        *,
        echoes: Callable[[Sequence[str]], Awaitable[Collection[str]]],
        every_seconds: float,
    ) -> None:
        self._url = url
        self._api = api
        self._echoes = echoes
        self._every_seconds = every_seconds
        self._pauses = Backoff(min(_AGAIN_SECONDS, every_seconds), every_seconds)
        self._unanswered: deque[Sent] = deque(maxlen=_REMEMBERED)
        self._waits_since: float | None = None
        self._problem: str | None = None

    async def run(self) -> None:
        """Ping until cancelled; then another replica does."""
        misses = 0
        try:
            while True:
                turn()
                await self.ping()
                misses = 0 if await self._rest(self._pauses.seconds(misses + 1)) else misses + 1
        finally:
            self._forget()
            metrics.forget_canary()

    async def ping(self) -> None:
        """Send one, where a destination can be pinged."""
        try:
            destination = await thin_destination(self._api, self._url)
            if destination is None:
                self._forget()
                return
            sent = await self._send(destination)
        except Failure as failure:
            self._tell(failure)
            return
        self._problem = None
        self._unanswered.append(sent)
        self._wait_since(self._waits_since or sent.at)
        metrics.PINGS.labels(self._api.mode, "sent").inc()

    async def look(self) -> None:
        """Look for the echoes of pings that are out; the newest of them answers all that were sent before."""
        try:
            heard = await self._echoes([one.event_id for one in self._unanswered])
        except DATABASE_ERRORS:
            return
        if answered := [one for one in self._unanswered if one.event_id in heard]:
            newest = answered[-1]
            while self._unanswered and self._unanswered[0].at <= newest.at:
                self._unanswered.popleft()
            self._wait_since(self._unanswered[0].at if self._unanswered else None)
            metrics.PINGS.labels(self._api.mode, "answered").inc(len(answered))
            metrics.ECHO.labels(self._api.mode).set(newest.at)

    def status(self) -> Mapping[str, JsonValue]:
        """For ``/status``: how long a ping has waited for an echo, since the last one that came; 0: none waits."""
        return {"waits_seconds": round(self._waits_seconds(), 3)}

    async def _send(self, destination: str) -> Sent:
        at = time.time()
        answer = await self._api.post(f"{DESTINATIONS}/{destination}/ping")
        event_id = answer.document.get("id")
        if not isinstance(event_id, str):
            raise StripeUnavailable("Stripe did not answer a ping with its event.")
        return Sent(event_id, at)

    async def _rest(self, seconds: float) -> bool:
        """Rest, and look for echoes while some are missing: so long, or a whole round once none is. Whether none is."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self._unanswered and loop.time() < began + seconds:
            turn()
            await asyncio.sleep(min(_LOOK_SECONDS, seconds))
            await self.look()
        if self._unanswered:
            return False
        await asyncio.sleep(max(0.0, began + self._every_seconds - loop.time()))
        return True

    def _wait_since(self, moment: float | None) -> None:
        self._waits_since = moment
        metrics.CANARY_WAITS.labels(self._api.mode).set_function(self._waits_seconds)

    def _waits_seconds(self) -> float:
        return 0.0 if self._waits_since is None else max(0.0, time.time() - self._waits_since)

    def _tell(self, failure: Failure) -> None:
        metrics.PINGS.labels(self._api.mode, failure.code).inc()
        if failure.code != self._problem:
            logs.get_logger().warning("destination_not_pinged", reason=failure.code, fix=str(failure))
        self._problem = failure.code

    def _forget(self) -> None:
        self._unanswered.clear()
        self._waits_since = None


async def echoes_in(database: Database, event_ids: Sequence[str]) -> Collection[str]:
    """Those of these pings that came by a webhook of ours and are settled. Raises one of DATABASE_ERRORS."""
    return {row["stripe_event_id"] for row in await database.fetch(QUERIES["echoes"], event_ids)}
