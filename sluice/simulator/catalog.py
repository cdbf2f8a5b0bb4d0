"""The catalogue: each scenario is one payment from first to last event, with the status that it must end in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

from sluice.simulator.builder import SECONDS_PER_HOUR, ScenarioBuilder, SimulatedEvent, Subject
from sluice.simulator.scenarios import buying, disputing, odd, returning, subscribing

Script: TypeAlias = Callable[[ScenarioBuilder], None]

_LONGEST_LIFE_HOURS = 24
_MORNING_SECONDS = 1800


class Account(Enum):
    """In whose Stripe account a scenario happens, and so where its webhooks go."""

    PLATFORM = "platform"
    TENANT = "tenant"
    """An organiser's own account, with a secret and a URL of its own."""
    CONNECTED = "connected"
    """A Connect account: the platform's URL and secret, an ``account`` on each event."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One payment from its first event to its last."""

    name: str
    title: str
    """What the buyer buys: the name of the demo's ``events`` row."""
    script: Script
    expected_status: str
    """``events.payment_status`` when all of it has taken effect."""
    account: Account = Account.PLATFORM

    @property
    def sentence(self) -> str:
        """The scenario in one sentence."""
        return (self.script.__doc__ or "").strip()


_ALL = (
    Scenario("checkout_paid", "Harbour Jazz Night", buying.checkout_paid, "paid"),
    Scenario("reference_paid", "Open-Air Cinema", buying.reference_paid, "paid"),
    Scenario("free_ticket", "Library Late Opening", buying.free_ticket, "paid"),
    Scenario("delayed_paid", "Choir Festival", buying.delayed_paid, "paid"),
    Scenario("delayed_failed", "Ceramics Workshop", buying.delayed_failed, "failed"),
    Scenario("delayed_processing", "Winter Lecture", buying.delayed_processing, "processing"),
    Scenario("declined_then_paid", "Comedy Cellar", buying.declined_then_paid, "paid"),
    Scenario("declined", "Wine Tasting", buying.declined, "failed"),
    Scenario("three_d_secure", "Chess Open", buying.three_d_secure, "requires_action"),
    Scenario("authorized", "Boat Hire Deposit", buying.authorized, "authorized"),
    Scenario("authorized_then_captured", "Escape Room", buying.authorized_then_captured, "paid"),
    Scenario("canceled", "Puppet Theatre", buying.canceled, "canceled"),
    Scenario("expired", "Planetarium Show", buying.expired, "expired"),
    Scenario("refund_full", "Trail Run", returning.refund_full, "refunded"),
    Scenario("refund_partial", "Family Circus", returning.refund_partial, "partially_refunded"),
    Scenario("refund_in_two_parts", "Poetry Slam", returning.refund_in_two_parts, "refunded"),
    Scenario("refund_failed", "Yoga Retreat", returning.refund_failed, "paid"),
    Scenario("dispute_won", "Rock Arena", disputing.dispute_won, "paid"),
    Scenario("dispute_lost", "Techno Warehouse", disputing.dispute_lost, "charged_back"),
    Scenario("dispute_open", "Food Market", disputing.dispute_open, "disputed"),
    Scenario("inquiry_closed", "Opera Gala", disputing.inquiry_closed, "paid"),
    Scenario("subscription_renewed", "Museum Day Pass", subscribing.subscription_renewed, "paid"),
    Scenario("subscription_lapsed", "Climbing Hall Pass", subscribing.subscription_lapsed, "paid"),
    Scenario("setup_only", "Members' Club", odd.setup_only, "pending"),
    Scenario("unknown_type", "Wristband Pick-up", odd.unknown_type, "pending"),
    Scenario("organiser_paid", "Village Fête", buying.checkout_paid, "paid", Account.TENANT),
    Scenario("organiser_refunded", "Barn Dance", returning.refund_full, "refunded", Account.TENANT),
    Scenario("connected_paid", "Street Food Tour", buying.checkout_paid, "paid", Account.CONNECTED),
)
SCENARIOS: Mapping[str, Scenario] = MappingProxyType({scenario.name: scenario for scenario in _ALL})


def play(scenario: Scenario, subject: Subject, *, seed: str, ends_at: int) -> Sequence[SimulatedEvent]:
    """
    The events of one run in the order in which they happen, the same ones for the same arguments.

    Args:
        ends_at: seconds since the Unix epoch; everything happens within the day before.
    """
    morning = ends_at - _LONGEST_LIFE_HOURS * SECONDS_PER_HOUR
    begins_between = (morning, morning + _MORNING_SECONDS)
    builder = ScenarioBuilder(
        subject, seed=f"{scenario.name}:{seed}:{subject.events_id}", begins_between=begins_between
    )
    scenario.script(builder)
    return tuple(builder.events)
