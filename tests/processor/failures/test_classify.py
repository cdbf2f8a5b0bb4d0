"""Classification of failures: the event's own, another transaction's, or an outage."""

import asyncpg
import pytest

from processor.failures.classify import Blame, HandlerFailed, blame, says_shutdown
from sluice.failures import DatabaseUnavailable, MalformedEvent


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


def test_a_connection_in_use_is_the_events_own_fault() -> None:
    """Asyncpg says so where a task that a handler left behind is at work on the transaction; nothing is away."""
    in_use = asyncpg.InterfaceError("cannot perform operation: another operation is in progress")
    assert blame(in_use) is Blame.EVENT
    assert blame(asyncpg.InterfaceError("connection is closed")) is Blame.UNCLEAR
