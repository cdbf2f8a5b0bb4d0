"""Classify the cause of a failed transaction: the event itself, another transaction, or an outage; pure, no I/O."""

import enum
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from sluice.failures import Defect, Rejected, Unavailable
from sluice.postgres.pool import is_in_use, is_transient
from sluice.postgres.sqlstate import Cause, cause_of_code, sqlstate

_LONGEST_CHAIN = 20  # nothing keeps a chain of causes from being a circle


class HandlerFailed(Defect):
    """A handler raised, ran out of time, or gave an answer that is none; the cause says how."""

    code = "handler_failed"

    def __init__(
        self,
        handler: str,
        *,
        events: AbstractSet[str] = frozenset(),
        connection_lost: bool = False,
        is_foreign: bool = False,
    ) -> None:
        """
        Say which handler failed.

        Args:
            events: those that it was called with.
            connection_lost: the transaction that the handler worked in has no connection any more.
            is_foreign: that transaction is sound, so whatever the error says of a database, it is not ours.
        """
        super().__init__(f"The handler {handler} failed.")
        self.handler = handler
        self.events = events
        self.connection_lost = connection_lost
        self.is_foreign = is_foreign


class LostOutsideHandlers(ConnectionError):
    """The connection went while no handler ran: before the first began, or after the last had returned."""


class Blame(enum.Enum):
    """The cause of a failed transaction; it decides what becomes of its messages."""

    EVENT = "event"
    """Counts as an attempt; found by halving."""
    HOPELESS = "hopeless"
    """The event's own, and no attempt will ever succeed: dead at once."""
    COLLISION = "collision"
    """A deadlock or a serialization failure: the other transaction got through, so this one is tried again at once."""
    CONTENTION = "contention"
    """Another transaction held a lock for too long: halved so that it hits few, and then postponed."""
    UNCLEAR = "unclear"
    """
    The connection went, or took no writes: an outage, or an event that takes its connection with it. Whether PostgreSQL
    answers, and runs of the event alone, tell them apart.
    """
    OUTAGE = "outage"
    """Something that all need is away: everything is left unacknowledged."""


_BLAMES: Mapping[Cause, Blame] = {
    Cause.COLLISION: Blame.COLLISION,
    Cause.LOCK_NOT_AVAILABLE: Blame.CONTENTION,
    Cause.CANCELED: Blame.CONTENTION,
    Cause.CONNECTION_LOST: Blame.UNCLEAR,
    Cause.READ_ONLY: Blame.UNCLEAR,
    Cause.SHUT_DOWN_BY_ORDER: Blame.UNCLEAR,
    Cause.TRANSACTION_STATE: Blame.UNCLEAR,
    Cause.CRASHED: Blame.OUTAGE,
    Cause.OPERATOR_INTERVENED: Blame.OUTAGE,
    Cause.RESOURCES_EXHAUSTED: Blame.OUTAGE,
    Cause.SESSION_CHANGED: Blame.OUTAGE,
    Cause.STARTING_OR_STOPPING: Blame.OUTAGE,
    Cause.SYSTEM_ERROR: Blame.OUTAGE,
    Cause.TOO_MANY_CONNECTIONS: Blame.OUTAGE,
}
"""Of a SQLSTATE's cause; any other is the event's own."""


def blame(error: BaseException) -> Blame:
    """Find whose failure it is that a transaction failed."""
    if isinstance(error, Rejected):
        return Blame.HOPELESS
    if isinstance(error, HandlerFailed):
        return _blame_in_handler(error)
    by_code = _blame_by_sqlstate(error)
    if by_code is not None:
        return by_code
    if isinstance(error, Unavailable):
        return Blame.OUTAGE
    if is_in_use(error):  # a task that a handler left behind is at work on the transaction
        return Blame.EVENT
    return Blame.UNCLEAR if is_transient(error) else Blame.EVENT


def _blame_in_handler(failure: HandlerFailed) -> Blame:
    cause = failure.__cause__
    if failure.connection_lost:
        return Blame.OUTAGE if Cause.CRASHED in _causes(failure) else Blame.UNCLEAR
    if isinstance(cause, Rejected):
        return Blame.HOPELESS
    if failure.is_foreign or cause is None:
        return Blame.EVENT
    return _blame_by_sqlstate(cause) or Blame.EVENT


def may_be_foreign(error: BaseException) -> bool:
    """Whether an error's SQLSTATE blames others: an outage, a lock, a conflict; of which database, it does not say."""
    return _blame_by_sqlstate(error) not in (None, Blame.EVENT)


def missed_deadline(error: BaseException) -> bool:
    """Whether time was up, or a lock or a connection was lost by the time that passed: others may have taken it."""
    cause = error.__cause__ if isinstance(error, HandlerFailed) else error
    if isinstance(cause, TimeoutError):
        return True
    return blame(error) in (Blame.CONTENTION, Blame.UNCLEAR)


def hopeless_event(error: BaseException) -> str | None:
    """The one event that can never be applied, where the error names it."""
    cause = error.__cause__ if isinstance(error, HandlerFailed) else error
    return cause.stripe_event_id if isinstance(cause, Rejected) else None


def is_cut(error: BaseException) -> bool:
    """Whether the connection went without a word of PostgreSQL's: it did not stop, and no order ended its session."""
    code = sqlstate(error)
    has_last_word = code is not None and cause_of_code(code) is not Cause.CONNECTION_LOST
    return not isinstance(error, TimeoutError) and not has_last_word and blame(error) is Blame.UNCLEAR


def says_shutdown(error: BaseException) -> bool:
    """Whether PostgreSQL ended the connection by order: it stops, or an administrator wants this one gone."""
    return Cause.SHUT_DOWN_BY_ORDER in _causes(error)


def _causes(error: BaseException) -> Iterator[Cause]:
    """List what the SQLSTATEs of an error and its causes say; after a lost connection, the last is the server's own."""
    cause: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if cause is None:
            return
        if (code := sqlstate(cause)) is not None:
            yield cause_of_code(code)
        cause = cause.__cause__


def _blame_by_sqlstate(error: BaseException) -> Blame | None:
    code = sqlstate(error)
    if code is None:
        return None
    verdict = _BLAMES.get(cause_of_code(code), Blame.EVENT)
    return Blame.OUTAGE if verdict is Blame.UNCLEAR and Cause.CRASHED in _causes(error) else verdict
