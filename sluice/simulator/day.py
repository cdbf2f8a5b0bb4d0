"""A small real-looking day of payments, sent through the public URL."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sluice.simulator.backoff import SECONDS_FOR_AN_HOUR
from sluice.simulator.client import Answer, Endpoint, Progress, send
from sluice.simulator.deliveries import Delivery, Reason, ScenarioRun, as_stripe_sends
from sluice.simulator.demo import DemoEvent
from sluice.simulator.troubles import Troubles, tell, tell_thin, with_troubles


@dataclass(frozen=True, slots=True)
class DayReport:
    """Deliveries and answers; ``report`` adds what became of them in the database."""

    events: Sequence[DemoEvent]
    answers: Sequence[Answer]
    seed: int
    lost: Sequence[Delivery] = ()
    """Events that no webhook brings, each once; Stripe's API knows of them."""

    @property
    def is_as_expected(self) -> bool:
        """Whether every delivery got the answer that it must get, the forgery's 400 included."""
        return all(answer.is_as_expected for answer in self.answers)

    @property
    def forgeries_refused(self) -> int:
        """Forgeries that were answered 400."""
        return sum(answer.is_as_expected for answer in self.answers if answer.delivery.reason is Reason.FORGERY)

    @property
    def latencies_seconds(self) -> Sequence[float]:
        """How long each answered POST took, in ascending order."""
        return sorted(a.latency_seconds for one in self.answers for a in one.attempts if a.http_status is not None)


def plan_day(
    secret: str,
    *,
    events: Sequence[DemoEvent],
    seed: int,
    ends_at: int,
    seconds_for_an_hour: float = SECONDS_FOR_AN_HOUR,
) -> Sequence[Delivery]:
    """All deliveries of a day, the same ones for the same arguments."""
    runs = [
        ScenarioRun.of(event.scenario, event.subject, secret=secret, own_secret=event.webhook_secret)
        for event in events
    ]
    return as_stripe_sends(runs, seed=str(seed), ends_at=ends_at, first_pause_seconds=seconds_for_an_hour)


async def send_day(
    gateway_url: str,
    secret: str,
    *,
    events: Sequence[DemoEvent],
    seed: int | None = None,
    progress: Progress | None = None,
    troubles: Troubles | None = None,
) -> DayReport:
    """
    Send one day of payments, a few seconds long, and wait for every answer.

    Args:
        gateway_url: the public address, without a path.
        secret: of the platform's endpoint; several, comma-separated, while one is rolled.
        events: the rows that the payments are for, from ``create_demo_events``.
        seed: of every id and of the order of arrival; None: a day that never was before.
        progress: called with each answer as it comes.
        troubles: some webhooks never come, each for a reason; None: all come.
    """
    seed = time.time_ns() if seed is None else seed
    deliveries = plan_day(secret, events=events, seed=seed, ends_at=int(time.time()))
    if troubles is None:
        return DayReport(events, await send(Endpoint(gateway_url), deliveries, progress=progress), seed)
    day = with_troubles(deliveries)
    answers = await _send_with_troubles(Endpoint(gateway_url), day, troubles, progress)
    return DayReport(events, answers, seed, [one for one in day if one.is_lost])


async def _send_with_troubles(
    endpoint: Endpoint, day: Sequence[Delivery], troubles: Troubles, progress: Progress | None
) -> Sequence[Answer]:
    """Send all that is sent, and let Stripe know of each event when it could have been delivered."""
    by_trouble = {reason: [one for one in day if one.reason is reason] for reason in (Reason.OUTAGE, Reason.DISABLED)}
    rest = [one for one in day if one.reason not in by_trouble]
    tell_thin(troubles.stripe, rest)
    answers = await send(endpoint, [one for one in rest if one.is_posted], progress=progress)
    tell(troubles.stripe, rest)
    async with troubles.endpoint_disabled():
        tell(troubles.stripe, by_trouble[Reason.DISABLED])
    async with troubles.ingest_away():
        at_once = replace(endpoint, in_real_time=False)
        refused = await send(at_once, by_trouble[Reason.OUTAGE], progress=progress)
        tell(troubles.stripe, by_trouble[Reason.OUTAGE])
    return [*answers, *refused]
