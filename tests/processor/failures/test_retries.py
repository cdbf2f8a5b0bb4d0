"""When a failed event is tried again, whose fault a failure is, and what is written of it."""

import os

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.failures.error_summary import LONGEST, describe
from processor.failures.retries import Blame, HandlerFailed, Patience, Schedule, blame, says_shutdown
from sluice.failures import DatabaseUnavailable, MalformedEvent

HOUR = 3600


def exactly(seconds: float) -> float:
    """No jitter."""
    return seconds


def failed(cause: Exception, *, connection_lost: bool = False, is_foreign: bool = False) -> HandlerFailed:
    """A handler's failure as the dispatcher raises it."""
    failure = HandlerFailed("harness.grant", connection_lost=connection_lost, is_foreign=is_foreign)
    failure.__cause__ = cause
    return failure


def lost_by(last_word: Exception) -> asyncpg.ConnectionDoesNotExistError:
    """The error of asyncpg's where PostgreSQL says why it ends a connection."""
    error = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
    error.__cause__ = last_word
    return error


def test_sixteen_attempts_last_seventy_two_hours() -> None:
    """The waits between the sixteen attempts add up to what the design promises, and none lasts a day."""
    schedule = Schedule(spread=exactly)
    waits = [schedule.delay_seconds(attempt) for attempt in range(1, 16)]
    assert sum(waits) == pytest.approx(72 * HOUR)
    assert waits == sorted(waits)
    assert waits[0] == 5
    assert max(waits) <= 12 * HOUR
    assert not schedule.is_last(15)
    assert schedule.is_last(16)


@given(attempts=st.integers(1, 40), over=st.floats(0, 30 * 86_400))
def test_every_schedule_waits_a_sane_time(attempts: int, over: float) -> None:
    """Whatever a person configures, a wait is finite and never negative."""
    schedule = Schedule(attempts=attempts, over_seconds=over)
    assert all(0 <= schedule.delay_seconds(attempt) <= over + 10 for attempt in range(1, attempts + 5))


def test_waits_are_spread() -> None:
    """Events that failed together do not come back together."""
    assert len({Schedule().delay_seconds(8) for _ in range(20)}) > 1


def test_a_parked_event_looks_at_least_every_ten_minutes() -> None:
    """The wait for a missing row grows to ten minutes and no further."""
    patience = Patience(spread=exactly)
    assert patience.delay_seconds(1) == 5
    assert patience.delay_seconds(2) == 10
    assert patience.delay_seconds(5_000) == 600


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (failed(ValueError("no")), Blame.EVENT),
        (failed(TimeoutError()), Blame.EVENT),
        (failed(ConnectionRefusedError("another HTTP server")), Blame.EVENT),
        (failed(asyncpg.UniqueViolationError("23505")), Blame.EVENT),
        (failed(asyncpg.NumericValueOutOfRangeError("22003")), Blame.EVENT),
        (failed(asyncpg.UndefinedTableError("42P01")), Blame.EVENT),
        (failed(asyncpg.RaiseError("P0001")), Blame.EVENT),
        (failed(asyncpg.CardinalityViolationError("21000")), Blame.EVENT),
        (failed(asyncpg.InFailedSQLTransactionError("25P02")), Blame.EVENT),
        (asyncpg.InFailedSQLTransactionError("25P02"), Blame.EVENT),
        (asyncpg.ForeignKeyViolationError("deferred, met at the commit"), Blame.EVENT),
        (KeyError("our own"), Blame.EVENT),
        (MalformedEvent(), Blame.HOPELESS),
        (failed(MalformedEvent()), Blame.HOPELESS),
        (failed(asyncpg.DeadlockDetectedError("40P01")), Blame.COLLISION),
        (failed(asyncpg.SerializationError("40001")), Blame.COLLISION),
        (failed(asyncpg.LockNotAvailableError("55P03")), Blame.CONTENTION),
        (failed(asyncpg.QueryCanceledError("57014")), Blame.CONTENTION),
        (failed(asyncpg.AdminShutdownError("57P01"), connection_lost=True), Blame.UNCLEAR),
        (failed(asyncpg.ConnectionDoesNotExistError("08003"), connection_lost=True), Blame.UNCLEAR),
        (failed(ValueError("after the connection went"), connection_lost=True), Blame.UNCLEAR),
        (failed(lost_by(asyncpg.CrashShutdownError("another backend crashed")), connection_lost=True), Blame.OUTAGE),
        (failed(lost_by(asyncpg.AdminShutdownError("57P01")), connection_lost=True), Blame.UNCLEAR),
        (failed(asyncpg.ReadOnlySQLTransactionError("25006")), Blame.UNCLEAR),
        (failed(asyncpg.DiskFullError("53100")), Blame.OUTAGE),
        (failed(asyncpg.DiskFullError("53100, elsewhere"), is_foreign=True), Blame.EVENT),
        (failed(asyncpg.ConnectionDoesNotExistError("08003, elsewhere"), is_foreign=True), Blame.EVENT),
        (asyncpg.TooManyConnectionsError("53300"), Blame.OUTAGE),
        (asyncpg.CrashShutdownError("57P02"), Blame.OUTAGE),
        (asyncpg.AdminShutdownError("57P01"), Blame.UNCLEAR),
        (asyncpg.InterfaceError("connection is closed"), Blame.UNCLEAR),
        (DatabaseUnavailable(), Blame.OUTAGE),
        (TimeoutError(), Blame.UNCLEAR),
        (ConnectionResetError(), Blame.UNCLEAR),
    ],
    ids=lambda value: value.value if isinstance(value, Blame) else type(value.__cause__ or value).__name__,
)
def test_whose_fault_a_failure_is(error: Exception, expected: Blame) -> None:
    """Only what the event or its handler did counts as an attempt."""
    assert blame(error) is expected


def test_a_shutdown_is_told_by_the_servers_last_word() -> None:
    """It may stand behind asyncpg's own error, and behind the handler's; a circle of causes is no trap."""
    assert says_shutdown(failed(lost_by(asyncpg.AdminShutdownError("57P01")), connection_lost=True))
    assert not says_shutdown(lost_by(asyncpg.CrashShutdownError("57P02")))
    circle = ValueError()
    circle.__cause__ = circle
    assert not says_shutdown(circle)


def test_a_described_failure_quotes_no_value() -> None:
    """Neither an exception's message nor PostgreSQL's text may carry a person's data into last_error."""
    secret = "jane@example.org"
    for cause in (ValueError(secret), asyncpg.InvalidTextRepresentationError(f'invalid input: "{secret}"')):
        assert secret not in describe(failed(cause))


def test_a_described_failure_says_where_and_what() -> None:
    """Class, SQLSTATE, handler and place are enough to find the bug."""
    with pytest.raises(KeyError) as raised:
        os.environ["NO_SUCH_NAME_HERE"]
    text = describe(failed(raised.value))
    assert "KeyError in handler harness.grant at" in text
    assert "42P01" in describe(failed(asyncpg.UndefinedTableError('relation "points" does not exist')))
    assert '"points"' in describe(failed(asyncpg.UndefinedTableError('relation "points" does not exist')))


def test_a_described_failure_is_short_and_printable() -> None:
    """Text for a person in psql has no control characters and at most 500 characters."""
    text = describe(failed(asyncpg.UndefinedTableError("x\x00\n" * 1000)))
    assert len(text) <= LONGEST
    assert text.isprintable()


def test_a_connection_in_use_is_the_events_own_fault() -> None:
    """Asyncpg says so where a task that a handler left behind is at work on the transaction; nothing is away."""
    in_use = asyncpg.InterfaceError("cannot perform operation: another operation is in progress")
    assert blame(in_use) is Blame.EVENT
    assert blame(asyncpg.InterfaceError("connection is closed")) is Blame.UNCLEAR
