"""Turn scenarios into deliveries: repeats, disorder, late comers, one forgery. Pure, the same for the same seed."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from sluice.simulator.builder import SimulatedEvent, Subject
from sluice.simulator.catalog import SCENARIOS, Account, play

PLATFORM_PATH = "/api/stripe-webhook"
REFUSED = 400
ACCEPTED = 200
AWAY = 503

_DAY_SECONDS = 2.5
_DISORDER_SECONDS = 0.6
_TWICE_AT_ONCE = 0.10
_ANSWER_LOST = 0.06
_LATE = 0.04
_BACKWARDS = "declined_then_paid"
_FORGED_SCENARIO = "checkout_paid"
_VICTIM = "declined"


class Reason(Enum):
    """Why Stripe sends this delivery."""

    FIRST = "first"
    TWICE_AT_ONCE = "twice at once"
    ANSWER_LOST = "answer lost"
    """Sluice answered, the answer never arrived, so Stripe sends it again after its first pause."""
    LATE = "late redelivery"
    """A person presses Resend when all is long over."""
    NEVER = "never delivered"
    """Stripe knows of it, and no webhook ever brings it."""
    OUTAGE = "sent while ingest was away"
    """No service took it in, and Stripe's next attempt is an hour away."""
    DISABLED = "endpoint disabled"
    """Stripe sends nothing to a disabled endpoint, and never sends later what it skipped."""
    THIN = "sent as thin event"
    """The destination gets thin events: no webhook brings this body, and Stripe must be asked for it."""
    FORGERY = "forgery"
    """Not Stripe at all: a free ticket, signed with a guessed secret."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook that is going to be posted."""

    at_seconds: float
    """After the simulated day began."""
    path: str
    event: SimulatedEvent
    secrets: tuple[str, ...] = field(repr=False)
    """Every secret that is active for the endpoint; each one signs."""
    scenario: str
    name: str
    """``events.name`` of the row that the scenario is about, or its title."""
    reason: Reason = Reason.FIRST

    @property
    def expected_http_status(self) -> int:
        """The status that Sluice must answer with."""
        return {Reason.FORGERY: REFUSED, Reason.OUTAGE: AWAY}.get(self.reason, ACCEPTED)

    @property
    def is_retried(self) -> bool:
        """Whether the sender tries again while the day lasts; a forger does not, and after an outage Stripe is late."""
        return self.reason not in (Reason.FORGERY, Reason.OUTAGE)

    @property
    def is_lost(self) -> bool:
        """Whether no webhook brings it, so that only Stripe's API can tell."""
        return self.reason is Reason.OUTAGE or not self.is_posted

    @property
    def is_posted(self) -> bool:
        """Whether a webhook with this very body is sent at all."""
        return self.reason not in (Reason.NEVER, Reason.DISABLED, Reason.THIN)


@dataclass(frozen=True, slots=True)
class ScenarioRun:
    """One scenario, the row that it is about, and where its account's webhooks go."""

    scenario: str
    subject: Subject
    secrets: tuple[str, ...] = field(repr=False)
    path: str = PLATFORM_PATH

    @classmethod
    def of(cls, scenario: str, subject: Subject, *, secret: str, own_secret: str | None = None) -> "ScenarioRun":
        """
        Where the webhooks of a scenario go.

        Args:
            secret: of the platform's endpoint; several, comma-separated, while one is rolled.
            own_secret: of the organiser's endpoint, for scenarios of a tenant that has a row.
        """
        if SCENARIOS[scenario].account is Account.TENANT and own_secret is not None and subject.events_id is not None:
            return cls(scenario, subject, (own_secret,), f"{PLATFORM_PATH}/{subject.events_id}")
        return cls(scenario, subject, split_secrets(secret))


def split_secrets(secret: str) -> tuple[str, ...]:
    """The secrets of a comma-separated setting."""
    return tuple(part.strip() for part in secret.split(",") if part.strip())


def in_order(run: ScenarioRun, *, seed: str, ends_at: int) -> Sequence[Delivery]:
    """One scenario as it would arrive in a perfect world: once, in order."""
    events = play(SCENARIOS[run.scenario], run.subject, seed=seed, ends_at=ends_at)
    pause = _DAY_SECONDS / (len(events) + 1)
    return [
        Delivery((place + 1) * pause, run.path, event, run.secrets, run.scenario, run.subject.title)
        for place, event in enumerate(events)
    ]


def as_stripe_sends(
    runs: Iterable[ScenarioRun], *, seed: str, ends_at: int, first_pause_seconds: float
) -> Sequence[Delivery]:
    """
    A day as it really arrives: out of order, some of it twice, some of it late, and one forgery in between.

    Args:
        ends_at: seconds since the Unix epoch, when the last event of the day happened.
        first_pause_seconds: after which Stripe repeats what it got no answer to.
    """
    chance = random.Random(f"deliveries:{seed}")
    day: list[Delivery] = []
    for run in runs:
        ordered = in_order(run, seed=seed, ends_at=ends_at)
        shuffled = _backwards(ordered) if run.scenario == _BACKWARDS else _jostled(ordered, chance)
        day += [*shuffled, *_repeats(shuffled, chance, first_pause_seconds)]
        if run.scenario == _VICTIM:
            day.append(_forgery(run, seed=seed, ends_at=ends_at))
    return sorted(
        day, key=lambda delivery: (delivery.at_seconds, delivery.event.stripe_event_id, delivery.reason.value)
    )


def _jostled(deliveries: Sequence[Delivery], chance: random.Random) -> Sequence[Delivery]:
    return [replace(one, at_seconds=one.at_seconds + chance.uniform(0, _DISORDER_SECONDS)) for one in deliveries]


def _backwards(deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
    times = [one.at_seconds for one in deliveries]
    return [replace(one, at_seconds=at) for one, at in zip(deliveries, reversed(times), strict=True)]


def _repeats(deliveries: Sequence[Delivery], chance: random.Random, first_pause_seconds: float) -> Sequence[Delivery]:
    repeats: list[Delivery] = []
    for one in deliveries:
        luck = chance.random()
        if luck < _TWICE_AT_ONCE:
            repeats.append(replace(one, reason=Reason.TWICE_AT_ONCE))
        elif luck < _TWICE_AT_ONCE + _ANSWER_LOST:
            repeats.append(replace(one, at_seconds=one.at_seconds + first_pause_seconds, reason=Reason.ANSWER_LOST))
        elif luck < _TWICE_AT_ONCE + _ANSWER_LOST + _LATE:
            repeats.append(replace(one, at_seconds=_DAY_SECONDS + _DISORDER_SECONDS, reason=Reason.LATE))
    return repeats


def _forgery(victim: ScenarioRun, *, seed: str, ends_at: int) -> Delivery:
    forged = play(SCENARIOS[_FORGED_SCENARIO], victim.subject, seed=f"forged:{seed}", ends_at=ends_at)
    session_completed = next(event for event in forged if event.type == "checkout.session.completed")
    guessed = "whsec_" + "guessed" * 4
    return Delivery(
        _DAY_SECONDS / 2,
        victim.path,
        session_completed,
        (guessed,),
        victim.scenario,
        victim.subject.title,
        Reason.FORGERY,
    )
