"""``customer.subscription.*``: what the invoices of a subscription hang on, with a state of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from sluice.contract.event import StripeEvent
from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import FactBuilder
from sluice.payments.facts import Fact, FactKind
from sluice.payments.values import children, identifier, moment, text

_STATE = "which row it names; its newest state in table `subscription`"
TYPES: Mapping[str, EventType] = {
    "customer.subscription.created": EventType(_STATE),
    "customer.subscription.updated": EventType(_STATE),
    "customer.subscription.deleted": EventType(_STATE),
    "customer.subscription.paused": EventType(_STATE),
    "customer.subscription.resumed": EventType(_STATE),
    "customer.subscription.collection_paused": EventType(_STATE, is_preview=True),
    "customer.subscription.collection_resumed": EventType(_STATE, is_preview=True),
    "customer.subscription.trial_will_end": EventType(_STATE),
    "customer.subscription.pending_update_applied": EventType(_STATE),
    "customer.subscription.pending_update_expired": EventType(_STATE),
}

PRECEDENCE = ("incomplete", "trialing", "active", "past_due", "unpaid", "paused", "incomplete_expired", "canceled")
"""Within one second the later one wins."""
_BY_VERB: Mapping[str, str] = {"deleted": "canceled", "paused": "paused", "resumed": "active"}


def facts(builder: FactBuilder) -> tuple[Fact, ...]:
    """Which row it names."""
    subscription_id = identifier(builder.object, "id", "sub_")
    if subscription_id is None:
        return ()
    return (
        builder.fact(
            subscription_id,
            FactKind.SUBSCRIPTION,
            namings=builder.metadata_naming,
            status=text(builder.object, "status"),
        ),
    )


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """State of a subscription as one event tells it; times in whole seconds since the Unix epoch."""

    scope: str
    subscription_id: str
    status: str
    customer_id: str | None
    current_period_end: int | None
    cancel_at_period_end: bool | None
    cancel_at: int | None
    """When it will end; an end of the period among others."""
    canceled_at: int | None
    """When its end was requested, or when it ended."""
    ended_at: int | None
    trial_end: int | None
    said_at: int
    stripe_event_id: str


def state(event: StripeEvent) -> SubscriptionState | None:
    """The subscription as this event shows it; None where it has no id or no status."""
    subscription = event.object
    subscription_id = identifier(subscription, "id", "sub_")
    status = _status(event)
    if subscription_id is None or status is None:
        return None
    ends_by_itself = subscription.get("cancel_at_period_end")
    return SubscriptionState(
        scope=event.scope,
        subscription_id=subscription_id,
        status=status,
        customer_id=identifier(subscription, "customer"),
        current_period_end=_current_period_end(event),
        cancel_at_period_end=ends_by_itself if isinstance(ends_by_itself, bool) else None,
        cancel_at=moment(subscription, "cancel_at"),
        canceled_at=moment(subscription, "canceled_at"),
        ended_at=moment(subscription, "ended_at"),
        trial_end=moment(subscription, "trial_end"),
        said_at=event.created,
        stripe_event_id=event.stripe_event_id,
    )


def _status(event: StripeEvent) -> str | None:
    """Stripe's word; where it is unknown, what the event's type says, if that says anything."""
    word = text(event.object, "status")
    return word if word in PRECEDENCE else _BY_VERB.get(event.verb, word)


def _current_period_end(event: StripeEvent) -> int | None:
    """Until Basil a field of the subscription, since then of each of its items: the earliest of them."""
    own = moment(event.object, "current_period_end")
    ends = [end for item in children(event.object, "items") if (end := moment(item, "current_period_end")) is not None]
    return own if own is not None else min(ends, default=None)
