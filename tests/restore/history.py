"""Payments whose lives lie across the restore point: some events were delivered before, others after it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice.simulator.catalog import SCENARIOS, Account
from sluice.simulator.deliveries import PLATFORM_PATH, Delivery, ScenarioRun, in_order
from sluice.simulator.demo import DemoEvent

DAY_SECONDS = 86_400
"""By Stripe's clock everything has happened within a day before the restore point and a day after it."""


@dataclass(frozen=True, slots=True)
class History:
    """All that happens at Stripe, by when it is delivered."""

    events: Sequence[DemoEvent]
    before: Sequence[Delivery]
    """What is delivered, and has its effect, before the restore point."""
    in_hand: Sequence[Delivery]
    """What is delivered before it, and waits for its effect."""
    later: Sequence[Delivery]
    """What is delivered after it."""
    queued: Sequence[Delivery]
    """What is delivered last; its messages are in the stream when the services stop."""
    unsent: Sequence[Delivery]
    """What happens while nothing takes it in."""

    @property
    def after(self) -> Sequence[Delivery]:
        """All that was answered 200 after the restore point."""
        return [*self.later, *self.queued]

    @property
    def all(self) -> Sequence[Delivery]:
        """Everything."""
        return [*self.before, *self.in_hand, *self.after, *self.unsent]

    def statuses(self, accounts: Sequence[Account]) -> Mapping[str, str]:
        """Statuses that rows of ``events`` must show in the end, by id: rows whose account is one of these."""
        return {
            event.id: event.expected_status for event in self.events if SCENARIOS[event.scenario].account in accounts
        }


def write(events: Sequence[DemoEvent], *, secret: str, seed: int, middle: int) -> History:
    """
    Let each scenario happen once, half of it before the restore point.

    Args:
        middle: the restore point by Stripe's clock, seconds since the Unix epoch.
    """
    before: list[Delivery] = []
    after: list[Delivery] = []
    for event in events:
        run = ScenarioRun.of(event.scenario, event.subject, secret=secret, own_secret=event.webhook_secret)
        day = in_order(run, seed=str(seed), ends_at=0)
        half = day[len(day) // 2].event.created
        for one in in_order(run, seed=str(seed), ends_at=middle - half):
            (before if one.event.created < middle else after).append(one)
    random.Random(seed).shuffle(before)
    random.Random(seed).shuffle(after)
    return History(
        events,
        before=before[:-10],
        in_hand=before[-10:],
        later=after[:-30],
        queued=after[-30:-15],
        unsent=after[-15:],
    )


def of_organisers(deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
    """Those that an organiser's own account signed: no key of ours opens its list."""
    return [one for one in deliveries if one.path != PLATFORM_PATH]


def ids(deliveries: Sequence[Delivery]) -> frozenset[str]:
    """The keys of these in ``webhook_logs``."""
    return frozenset(_key(one) for one in deliveries)


def _key(one: Delivery) -> str:
    tenant = one.path.removeprefix(PLATFORM_PATH).strip("/")
    return f"{one.event.stripe_event_id}@{tenant}" if tenant else one.event.stripe_event_id
