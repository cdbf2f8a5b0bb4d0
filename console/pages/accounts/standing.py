"""Put together what is known of each account, organiser and secret. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from console.pages.accounts.reading import Arrivals, Named, Reconciled, Refusal, Seen

PLATFORM: Final = "platform"
_MODES = {True: "live", False: "test", None: "unknown"}
_KINDS = {"platform": "the platform's endpoint", "tenant": "an organiser's URL"}
_OF_API = "api"
"""Stands for no secret: the reconciler asked Stripe."""


@dataclass(frozen=True, slots=True)
class Count:
    """Webhooks among those that were looked through."""

    webhooks: int
    unprocessed: int
    dead: int
    last_at: datetime | None
    secrets: Sequence[str]


@dataclass(frozen=True, slots=True)
class Account:
    """One account in one mode."""

    account: str
    mode: str
    count: Count
    reconciled: Reconciled | None

    @property
    def is_platform(self) -> bool:
        """Whether it is the platform's own."""
        return self.account == PLATFORM


@dataclass(frozen=True, slots=True)
class Organiser:
    """One organiser, known by the id of an ``events`` row."""

    id: str
    named: Named | None
    """None: there is no such row."""
    count: Count
    refusals: Sequence[Refusal]


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret, known by its fingerprint."""

    fingerprint: str
    belongs_to: str
    webhooks: int
    repeats: int
    last_at: datetime
    organisers: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The page's tables."""

    accounts: Sequence[Account]
    organisers: Sequence[Organiser]
    secrets: Sequence[Secret]


def standing_of(seen: Seen) -> Standing:
    """Put it together."""
    return Standing(_accounts(seen), _organisers(seen), _secrets(seen))


def _accounts(seen: Seen) -> Sequence[Account]:
    """Those with a problem or a gap first, then the one that was heard of last."""
    reconciled = {(one.account, _MODES[one.livemode]): one for one in seen.reconciled}
    arrivals: dict[tuple[str, str], list[Arrivals]] = {key: [] for key in reconciled}
    for one in seen.arrivals:
        if one.organiser is None:
            arrivals.setdefault((one.account or PLATFORM, _MODES[one.livemode]), []).append(one)
    accounts = [Account(*key, _counted(known), reconciled.get(key)) for key, known in arrivals.items()]
    return sorted(accounts, key=_urgency)


def _urgency(one: Account) -> tuple[bool, bool, float, str, str]:
    known = one.reconciled
    is_sound = known is None or not (known.problem or known.missing or known.refused)
    last = 0.0 if one.count.last_at is None else -one.count.last_at.timestamp()
    return is_sound, not one.is_platform, last, one.account, one.mode


def _organisers(seen: Seen) -> Sequence[Organiser]:
    arrivals: dict[str, list[Arrivals]] = {}
    for one in seen.arrivals:
        if one.organiser is not None:
            arrivals.setdefault(one.organiser, []).append(one)
    refusals: dict[str, list[Refusal]] = {}
    for refusal in seen.refusals:
        if refusal.organiser is not None:
            refusals.setdefault(refusal.organiser, []).append(refusal)
    return [
        Organiser(key, seen.names.get(key), _counted(arrivals.get(key, ())), refusals.get(key, ()))
        for key in {**dict.fromkeys(refusals), **dict.fromkeys(arrivals)}
    ]


def _secrets(seen: Seen) -> Sequence[Secret]:
    repeats = {one.verified_by: one for one in seen.repeats}
    used: dict[str, list[Arrivals]] = {key: [] for key in repeats}
    for one in seen.arrivals:
        if one.verified_by is not None:
            used.setdefault(one.verified_by, []).append(one)
    secrets = [
        Secret(
            fingerprint=key,
            belongs_to=_KINDS.get(key.partition(":")[0], "unknown"),
            webhooks=sum(one.webhooks for one in arrivals),
            repeats=repeats[key].repeats if key in repeats else 0,
            last_at=max([one.last_at for one in arrivals] + ([repeats[key].last_at] if key in repeats else [])),
            organisers=len({one.organiser for one in arrivals} - {None}),
        )
        for key, arrivals in used.items()
        if key != _OF_API
    ]
    return sorted(secrets, key=lambda one: one.last_at, reverse=True)


def _counted(arrivals: Iterable[Arrivals]) -> Count:
    known = list(arrivals)
    return Count(
        webhooks=sum(one.webhooks for one in known),
        unprocessed=sum(one.unprocessed for one in known),
        dead=sum(one.dead for one in known),
        last_at=max((one.last_at for one in known), default=None),
        secrets=sorted({one.verified_by for one in known if one.verified_by is not None}),
    )
