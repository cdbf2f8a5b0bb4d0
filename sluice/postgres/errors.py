"""Sort the errors of PostgreSQL and asyncpg by what they mean for the work that met them."""

from typing import Final

import asyncpg

from sluice.failures import DatabaseUnavailable

DATABASE_ERRORS: Final = (
    DatabaseUnavailable,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg lost its place in the protocol: seen when the server stops in mid-answer
    OSError,
    TimeoutError,
)
"""All that a statement may raise for a reason of PostgreSQL's, of the network's or of asyncpg's."""


class TransactionPooler(DatabaseUnavailable):
    """
    This address leads to a pooler in transaction mode, where prepared statements and settings are lost.

    Set DATABASE_STATEMENT_CACHE=false (`database.transactionPooler` in the chart), or use the pooler's session mode.
    """

    code = "transaction_pooler"


# https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRANSIENT = frozenset({"08", "25", "40", "53", "55", "57"})
_UNAVAILABLE = frozenset({"08", "53", "57"})
_FAILOVER = frozenset({"25006", "57P01", "57P02", "57P03"})


def is_transient(error: BaseException) -> bool:
    """The same work may succeed later: the connection, a lock, a conflict or the server was at fault, not the work."""
    return (
        isinstance(error, DatabaseUnavailable)
        or _state_class(error) in _TRANSIENT
        or _is_lost_connection(error)
        or is_of_another_session(error)
    )


def is_unavailable(error: BaseException) -> bool:
    """PostgreSQL itself was away, full or shutting down, or did not answer in time."""
    return _state_class(error) in _UNAVAILABLE or _is_lost_connection(error) or is_of_another_session(error)


def is_of_another_session(error: BaseException) -> bool:
    """A statement that asyncpg prepared is not there, or there already: a pooler swapped the session for another."""
    swapped = isinstance(error, asyncpg.InvalidSQLStatementNameError | asyncpg.DuplicatePreparedStatementError)
    return swapped and "__asyncpg_" in str(error)


def is_in_use(error: BaseException) -> bool:
    """Another task is using the same connection at this moment; asyncpg has no class of its own for it."""
    return isinstance(error, asyncpg.InterfaceError) and "another operation is in progress" in str(error)


def is_failover(error: BaseException) -> bool:
    """This server no longer takes writes, so every connection to it should be made afresh."""
    return getattr(error, "sqlstate", None) in _FAILOVER


def _state_class(error: BaseException) -> str:
    return (getattr(error, "sqlstate", None) or "")[:2] if isinstance(error, asyncpg.PostgresError) else ""


def _is_lost_connection(error: BaseException) -> bool:
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(
            error, ValueError
        )  # asyncpg refuses arguments with an InterfaceError that is a ValueError
    return isinstance(error, OSError | TimeoutError | asyncpg.InternalClientError)
