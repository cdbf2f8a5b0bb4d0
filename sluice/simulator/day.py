"""A small real-looking day of payments, sent through the public URL."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.simulator.backoff import SECONDS_FOR_AN_HOUR
from sluice.simulator.client import Answer, Endpoint, Progress, send
from sluice.simulator.deliveries import (
    PLATFORM_PATH,
    Delivery,
    Reason,
    ScenarioRun,
    as_stripe_sends,
    with_some_lost,
)
from sluice.simulator.demo import DemoEvent
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe


@dataclass(frozen=True, slots=True)
class DayReport:
    """Deliveries and answers; ``report`` adds what became of them in the database."""

    events: Sequence[DemoEvent]
    answers: Sequence[Answer]
    seed: int
    lost: Sequence[Delivery] = ()
    """Webhooks that never come; Stripe's API knows of their events."""

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
    stripe: OfflineStripe | None = None,
) -> DayReport:
    """
    Send one day of payments, a few seconds long, and wait for every answer.

    Args:
        gateway_url: the public address, without a path.
        secret: of the platform's endpoint; several, comma-separated, while one is rolled.
        events: the rows that the payments are for, from ``create_demo_events``.
        seed: of every id and of the order of arrival; None: a day that never was before.
        progress: called with each answer as it comes.
        stripe: learns of every event, and some of them are not delivered; None: all are.
    """
    seed = time.time_ns() if seed is None else seed
    deliveries = plan_day(secret, events=events, seed=seed, ends_at=int(time.time()))
    if stripe is not None:
        deliveries = with_some_lost(deliveries)
    lost = [one for one in deliveries if one.reason is Reason.NEVER]
    answers = await send(
        Endpoint(gateway_url), [one for one in deliveries if one.reason is not Reason.NEVER], progress=progress
    )
    if stripe is not None:
        _tell(stripe, deliveries)
    return DayReport(events, answers, seed, lost)


def _tell(stripe: OfflineStripe, deliveries: Sequence[Delivery]) -> None:
    """Let Stripe's API know of the day; an organiser's own account is another platform's."""
    for one in deliveries:
        if one.path == PLATFORM_PATH and one.reason is not Reason.FORGERY:
            stripe.happened(one.event.body)
