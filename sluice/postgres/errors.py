"""Sort the errors of PostgreSQL and asyncpg by what they mean for the work that met them."""

import socket
import ssl
from typing import Final

import asyncpg

from sluice.failures import DatabaseUnavailable
from sluice.postgres.sqlstate import AWAY, FAILOVER, TRANSIENT, Cause, cause_of_code

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


def cause_of(error: BaseException) -> Cause:
    """Look up what went wrong; of PostgreSQL's own errors, by the SQLSTATE."""
    if isinstance(error, TransactionPooler) or is_of_another_session(error):
        return Cause.TRANSACTION_POOLER
    if isinstance(error, DatabaseUnavailable):
        return Cause.UNAVAILABLE
    if isinstance(error, asyncpg.PostgresError):
        return cause_of_code(error.sqlstate or "")
    return next((cause for kinds, cause in _ON_THE_WAY if isinstance(error, kinds)), Cause.OTHER)


_ON_THE_WAY: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Cause], ...]] = (
    (socket.gaierror, Cause.HOST_UNKNOWN),
    (ssl.SSLError, Cause.TLS_FAILED),  # a certificate that is refused is a ValueError, too
    (ValueError, Cause.ROW_REFUSED),  # asyncpg cannot encode a value; its InterfaceError for that is a ValueError
    (ConnectionRefusedError, Cause.CONNECTION_REFUSED),
    (TimeoutError, Cause.NO_ANSWER),
    ((OSError, asyncpg.InterfaceError, asyncpg.InternalClientError), Cause.CONNECTION_LOST),
)


def is_transient(error: BaseException) -> bool:
    """The same work may succeed later: the connection, a lock, a conflict or the server was at fault, not the work."""
    return cause_of(error) in TRANSIENT


def is_unavailable(error: BaseException) -> bool:
    """PostgreSQL itself was away, full or shutting down, or did not answer in time."""
    return cause_of(error) in AWAY


def is_of_another_session(error: BaseException) -> bool:
    """A statement that asyncpg prepared is not there, or there already: a pooler swapped the session for another."""
    swapped = isinstance(error, asyncpg.InvalidSQLStatementNameError | asyncpg.DuplicatePreparedStatementError)
    return swapped and "__asyncpg_" in str(error)


def is_in_use(error: BaseException) -> bool:
    """Another task is using the same connection at this moment; asyncpg has no class of its own for it."""
    return isinstance(error, asyncpg.InterfaceError) and "another operation is in progress" in str(error)


def is_failover(error: BaseException) -> bool:
    """This server no longer takes writes, so every connection to it should be made afresh."""
    return cause_of(error) in FAILOVER
