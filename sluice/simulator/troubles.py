"""The day's troubles: events that Stripe knows of, and no webhook brings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from types import MappingProxyType

from sluice.simulator.deliveries import PLATFORM_PATH, Delivery, Reason
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from sluice.simulator.thin_twin import tell_both, thin_twin

_ALL = 1_000
_LOST: Mapping[str, tuple[Reason, int]] = MappingProxyType(
    {
        "connected_paid": (Reason.NEVER, _ALL),
        "refund_full": (Reason.NEVER, 1),
        "dispute_lost": (Reason.OUTAGE, 2),
        "authorized_then_captured": (Reason.OUTAGE, 2),
        "refund_in_two_parts": (Reason.DISABLED, 2),
        "subscription_lapsed": (Reason.DISABLED, 1),
        "delayed_paid": (Reason.THIN, _ALL),
    }
)
"""Scenario, its trouble, and how many of its last events meet it."""
_TOLD_TWICE = "reference_paid"
"""Scenario whose events come from two destinations, one of them thin."""


@dataclass(frozen=True, slots=True)
class Troubles:
    """Means by which a day goes wrong, and by which it is healed."""

    stripe: OfflineStripe
    """Learns of all that happens."""
    ingest_away: Callable[[], AbstractAsyncContextManager[None]]
    """Nothing takes webhooks in while the block lasts."""
    endpoint_disabled: Callable[[], AbstractAsyncContextManager[None]]
    """Our endpoint at Stripe is disabled while the block lasts, and then enabled."""


def with_troubles(deliveries: Iterable[Delivery]) -> Sequence[Delivery]:
    """The same day, of which some webhooks never come, each for its reason; thin events come besides."""
    day = list(deliveries)
    lost = {key: reason for scenario, (reason, last) in _LOST.items() for key in _last_events(day, scenario, last)}
    day = [
        replace(one, reason=lost[one.event.stripe_event_id]) if one.event.stripe_event_id in lost else one
        for one in day
    ]
    day = _once(day)
    return [*day, *(_thinly(one) for one in day if _has_thin_twin(one))]


def tell_thin(stripe: OfflineStripe, day: Iterable[Delivery]) -> None:
    """Let Stripe know of all that a thin event tells, before it is sent."""
    for one in day:
        if _has_thin_twin(one):
            tell_both(stripe, one.event)


def tell(stripe: OfflineStripe, day: Iterable[Delivery]) -> None:
    """Let Stripe know of snapshot events; an organiser's own account is another platform's."""
    for one in day:
        if one.path == PLATFORM_PATH and one.reason is not Reason.FORGERY and not _is_thin(one):
            stripe.happened(one.event.body)


def _last_events(day: Iterable[Delivery], scenario: str, last: int) -> Sequence[str]:
    events = {
        (one.event.created, one.event.stripe_event_id)
        for one in day
        if one.scenario == scenario and one.reason is not Reason.FORGERY
    }
    return [event_id for _, event_id in sorted(events)[-last:]]


def _once(day: Iterable[Delivery]) -> list[Delivery]:
    """Keep one delivery of each lost event, however often it would have been sent."""
    kept: dict[object, Delivery] = {}
    for place, one in enumerate(day):
        kept.setdefault(one.event.stripe_event_id if one.is_lost else place, one)
    return list(kept.values())


def _has_thin_twin(one: Delivery) -> bool:
    return one.reason is Reason.THIN or (
        one.scenario == _TOLD_TWICE and one.reason is Reason.FIRST and not _is_thin(one)
    )


def _thinly(one: Delivery) -> Delivery:
    return replace(one, event=thin_twin(one.event), reason=Reason.FIRST)


def _is_thin(one: Delivery) -> bool:
    return one.event.type.startswith("v1.")
