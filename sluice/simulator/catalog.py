"""The catalogue: each story is one payment's life, and says what must have become of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

from sluice.simulator.builder import SECONDS_PER_HOUR, SimulatedEvent, Subject, Telling
from sluice.simulator.scenarios import buying, disputing, odd, returning, subscribing

Plot: TypeAlias = Callable[[Telling], None]

_LONGEST_LIFE_HOURS = 24
_MORNING_SECONDS = 1800


class Account(Enum):
    """In whose Stripe account a story happens, and so where its webhooks go."""

    PLATFORM = "platform"
    TENANT = "tenant"
    """An organiser's own account, with a secret and a URL of its own."""
    CONNECTED = "connected"
    """A Connect account: the platform's URL and secret, an ``account`` on each event."""


@dataclass(frozen=True, slots=True)
class Story:
    """One payment's life."""

    name: str
    title: str
    """What the buyer buys: the name of the demo's ``events`` row."""
    plot: Plot
    expected_status: str
    """``events.payment_status`` when all of it has taken effect."""
    account: Account = Account.PLATFORM

    @property
    def sentence(self) -> str:
        """The scenario in one sentence."""
        return (self.plot.__doc__ or "").strip()


_ALL = (
    Story("checkout_paid", "Harbour Jazz Night", buying.checkout_paid, "paid"),
    Story("reference_paid", "Open-Air Cinema", buying.reference_paid, "paid"),
    Story("free_ticket", "Library Late Opening", buying.free_ticket, "paid"),
    Story("delayed_paid", "Choir Festival", buying.delayed_paid, "paid"),
    Story("delayed_failed", "Ceramics Workshop", buying.delayed_failed, "failed"),
    Story("delayed_processing", "Winter Lecture", buying.delayed_processing, "processing"),
    Story("declined_then_paid", "Comedy Cellar", buying.declined_then_paid, "paid"),
    Story("declined", "Wine Tasting", buying.declined, "failed"),
    Story("three_d_secure", "Chess Open", buying.three_d_secure, "requires_action"),
    Story("authorized", "Boat Hire Deposit", buying.authorized, "authorized"),
    Story("authorized_then_captured", "Escape Room", buying.authorized_then_captured, "paid"),
    Story("canceled", "Puppet Theatre", buying.canceled, "canceled"),
    Story("expired", "Planetarium Show", buying.expired, "expired"),
    Story("refund_full", "Trail Run", returning.refund_full, "refunded"),
    Story("refund_partial", "Family Circus", returning.refund_partial, "partially_refunded"),
    Story("refund_in_two_parts", "Poetry Slam", returning.refund_in_two_parts, "refunded"),
    Story("refund_failed", "Yoga Retreat", returning.refund_failed, "paid"),
    Story("dispute_won", "Rock Arena", disputing.dispute_won, "paid"),
    Story("dispute_lost", "Techno Warehouse", disputing.dispute_lost, "charged_back"),
    Story("dispute_open", "Food Market", disputing.dispute_open, "disputed"),
    Story("inquiry_closed", "Opera Gala", disputing.inquiry_closed, "paid"),
    Story("subscription_renewed", "Museum Day Pass", subscribing.subscription_renewed, "paid"),
    Story("subscription_lapsed", "Climbing Hall Pass", subscribing.subscription_lapsed, "paid"),
    Story("setup_only", "Members' Club", odd.setup_only, "pending"),
    Story("unknown_type", "Wristband Pick-up", odd.unknown_type, "pending"),
    Story("organiser_paid", "Village Fête", buying.checkout_paid, "paid", Account.TENANT),
    Story("organiser_refunded", "Barn Dance", returning.refund_full, "refunded", Account.TENANT),
    Story("connected_paid", "Street Food Tour", buying.checkout_paid, "paid", Account.CONNECTED),
)
STORIES: Mapping[str, Story] = MappingProxyType({story.name: story for story in _ALL})


def tell(story: Story, subject: Subject, *, seed: str, ends_at: int) -> Sequence[SimulatedEvent]:
    """
    The events of one life in the order in which they happen, the same ones for the same arguments.

    Args:
        ends_at: seconds since the Unix epoch; everything happens within the day before.
    """
    morning = ends_at - _LONGEST_LIFE_HOURS * SECONDS_PER_HOUR
    begins_between = (morning, morning + _MORNING_SECONDS)
    telling = Telling(subject, seed=f"{story.name}:{seed}:{subject.events_id}", begins_between=begins_between)
    story.plot(telling)
    return tuple(telling.events)
