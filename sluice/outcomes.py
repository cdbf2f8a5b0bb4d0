"""Outcomes that a handler may return; anything but a return is a failure."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Applied:
    """The event has its effect, or already had it."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """The event is known and rightly changes nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class Parked:
    """The event names a row that does not exist yet; it is tried again until the row appears or patience ends."""

    waiting_for: str


Outcome: TypeAlias = Applied | Ignored | Parked


def combine(one: Outcome, other: Outcome) -> Outcome:
    """The outcome of two handlers of one event: waiting beats done, done beats ignored."""
    return max(one, other, key=_weight)


def _weight(outcome: Outcome) -> int:
    match outcome:
        case Parked():
            return 2
        case Applied():
            return 1
        case Ignored():
            return 0
