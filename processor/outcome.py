"""The outcome of one message: a handler's outcome, or why no handler was asked."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from sluice.contract.event import StripeEvent
from sluice.nats.jetstream import IncomingMessage
from sluice.outcomes import Applied, Ignored, Parked


@dataclass(frozen=True, eq=False)
class Attempt:
    """An event, to be run if this is still its attempt."""

    event: StripeEvent
    attempt: int

    @property
    def event_id(self) -> str:
        """The event's key in ``webhook_logs``."""
        return self.event.stripe_event_id


@dataclass(frozen=True, eq=False)
class Work(Attempt):
    """One message of the stream, read."""

    message: IncomingMessage
    known_deliveries: int = 1
    """Deliveries of which this process knows the end: this one, and those that it left unacknowledged itself."""

    @property
    def is_taken_directly(self) -> bool:
        """Whether it comes from PostgreSQL, and the stream has no message of it."""
        return self.message.sequence == 0

    @property
    def is_redelivered(self) -> bool:
        """Whether a process held this message before and never said what became of it."""
        return self.message.deliveries > self.known_deliveries


class Claimed(NamedTuple):
    """A locked row: the event as the row holds it."""

    event: StripeEvent
    is_last_look: bool
    """The row has been parked for as long as patience lasts: what still waits after this run ends."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """
    The event was processed, or died, before; or this message belongs to an attempt that has passed or is not due.

    Or to a row of before a restore: its event is there again as Stripe's API gave it, and the relay brings that.
    """


@dataclass(frozen=True, slots=True)
class Locked:
    """Another processor holds the row this moment; the message comes again."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A run of this event ended with its whole process, so it runs alone."""


@dataclass(frozen=True, slots=True)
class Paused:
    """A pause covers the event: its row waits for the end of that, and no handler was asked."""


@dataclass(frozen=True, slots=True)
class Missing:
    """PostgreSQL does not know the event: a failover lost the row. The message stays in the stream."""


@dataclass(frozen=True, slots=True)
class Forged:
    """The message does not hold what its row holds; the relay brings the row itself."""

    differing: tuple[str, ...]
    """The fields in which they differ."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """This release cannot apply such an event; dead, so that it is seen."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fetching:
    """A thin event, of which the reconciler asks Stripe; what it gets is a row of its own, and that is handled."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Stripe was asked to send it, and it has come the whole way."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """The patience of a parked event has ended: its facts stay, and count should its row appear after all."""

    waiting_for: str


@dataclass(frozen=True, slots=True)
class Postponed:
    """Another transaction held a lock for too long, and that is on record; the relay brings the event back when due."""

    error: str = ""
    is_first: bool = False
    """Whether nothing had held it up before."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The event's own failure, on record now; the relay brings it back when due, unless it is dead."""

    error: str
    attempt: int
    is_dead: bool


Handled: TypeAlias = Applied | Ignored | Parked | Unmatched | Unsupported | Fetching | Ping
"""An event whose row was claimed."""
Unclaimed: TypeAlias = Duplicate | Locked | Suspect | Paused | Missing | Forged
"""An event whose row was not, or not for this message."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A handled event and what its row says since the commit."""

    outcome: Handled
    is_dead: bool = False
    delay_seconds: float | None = None
    """From the receipt to the settled row; None unless it is processed."""


MessageOutcome: TypeAlias = Settled | Unclaimed | Failed | Postponed


def word(outcome: Handled) -> str:
    """The word for ``webhook_logs.outcome``."""
    return type(outcome).__name__.lower()


def is_answered(result: MessageOutcome) -> bool:
    """Whether the message has done its duty and is acknowledged; else it comes again, or runs alone."""
    return not isinstance(result, Locked | Suspect)
