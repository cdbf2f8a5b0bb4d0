"""
Ping our thin destinations at Stripe again and again, and look whether each ping comes back the whole way.

Stripe sends it to ingest, ingest records it, the processor settles it: its row is the echo. So silence is seen also
where hours pass between two payments. Each destination has a secret of its own, so each is pinged.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from reconciler.endpoint import metrics
from reconciler.endpoint.listing import DESTINATIONS, thin_destinations
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


@dataclass(slots=True)
class _Flight:
    """Pings of one destination that have not come back."""

    unanswered: deque[Sent] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    waits_since: float | None = None
    echo_at: float | None = None
    """When the newest ping that came back was sent."""

    def send(self, ping: Sent) -> None:
        """Wait for one more."""
        self.unanswered.append(ping)
        self.waits_since = self.waits_since or ping.at

    def hear(self, echoes: Collection[str]) -> int:
        """Take the echoes; the newest answers all that were sent before. How many there were."""
        answered = [one for one in self.unanswered if one.event_id in echoes]
        if answered:
            self.echo_at = answered[-1].at
            while self.unanswered and self.unanswered[0].at <= self.echo_at:
                self.unanswered.popleft()
            self.waits_since = self.unanswered[0].at if self.unanswered else None
        return len(answered)

    def waits_seconds(self) -> float:
        """How long a ping has waited since the last one that came back; 0: none waits."""
        return 0.0 if self.waits_since is None else max(0.0, time.time() - self.waits_since)


class Canary:
    """
    One ping after the other; after one without an echo the next comes sooner.

    Args:
        url: of our endpoint; each enabled thin destination that has it is pinged.
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
        self._flights: dict[str, _Flight] = {}
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
        """Send one to each destination that can be pinged."""
        try:
            destinations = await thin_destinations(self._api, self._url)
        except Failure as failure:
            self._note(failure)
            return
        self._flights = {name: self._flights.get(name, _Flight()) for name in destinations}
        self._show()
        sent = [await self._ping(name) for name in destinations]
        if all(sent):
            self._problem = None

    async def look(self) -> None:
        """Look for the echoes of pings that are out."""
        sent = [one.event_id for flight in self._flights.values() for one in flight.unanswered]
        try:
            heard = await self._echoes(sent)
        except DATABASE_ERRORS:
            return
        if answered := sum(flight.hear(heard) for flight in self._flights.values()):
            metrics.PINGS.labels(self._api.mode, "answered").inc(answered)
            self._show()

    def status(self) -> Mapping[str, JsonValue]:
        """For ``/status``: how long a ping of each destination has waited for an echo, and the longest of these."""
        waits = {name: round(flight.waits_seconds(), 3) for name, flight in self._flights.items()}
        return {"waits_seconds": max(waits.values(), default=0.0), "destinations": dict[str, JsonValue](waits)}

    async def _ping(self, destination: str) -> bool:
        """Whether Stripe took it; one that it does not take keeps no other from being pinged."""
        try:
            sent = await self._send(destination)
        except Failure as failure:
            self._note(failure)
            return False
        self._flights[destination].send(sent)
        metrics.PINGS.labels(self._api.mode, "sent").inc()
        return True

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
        while self._waits() and loop.time() < began + seconds:
            turn()
            await asyncio.sleep(min(_LOOK_SECONDS, seconds))
            await self.look()
        if self._waits():
            return False
        await asyncio.sleep(max(0.0, began + self._every_seconds - loop.time()))
        return True

    def _waits(self) -> bool:
        return any(flight.unanswered for flight in self._flights.values())

    def _waits_seconds(self) -> float:
        return max((flight.waits_seconds() for flight in self._flights.values()), default=0.0)

    def _show(self) -> None:
        """Show the destination that is furthest behind."""
        metrics.CANARY_WAITS.labels(self._api.mode).set_function(self._waits_seconds)
        if heard := [flight.echo_at for flight in self._flights.values() if flight.echo_at is not None]:
            metrics.ECHO.labels(self._api.mode).set(min(heard))

    def _note(self, failure: Failure) -> None:
        metrics.PINGS.labels(self._api.mode, failure.code).inc()
        if failure.code != self._problem:
            logs.get_logger().warning("destination_not_pinged", reason=failure.code, fix=str(failure))
        self._problem = failure.code

    def _forget(self) -> None:
        self._flights.clear()


async def echoes_in(database: Database, event_ids: Sequence[str]) -> Collection[str]:
    """Those of these pings that came by a webhook of ours and are settled. Raises one of DATABASE_ERRORS."""
    return {row["stripe_event_id"] for row in await database.fetch(QUERIES["echoes"], event_ids)}
