"""A session of one's own: a connection to PostgreSQL that is refused when a transaction pooler sits in between."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from sluice.failures import DatabaseUnavailable, Rejected
from sluice.postgres.errors import DATABASE_ERRORS
from sluice.postgres.session_mark import Session, leave_mark, read_mark

__all__ = ["PoolerRefused", "Session", "connection_to", "direct_connection"]

_CONNECT_SECONDS = 10
_STATEMENT_SECONDS = 10
_STRANGERS = 3
_LOST = (
    ConnectionError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
)


class PoolerRefused(Rejected):
    """
    This address leads to a pooler in transaction mode, which shares one session among clients.

    Use the direct address of PostgreSQL, or the pooler's session mode.
    """

    code = "transaction_pooler"


@asynccontextmanager
async def direct_connection(dsn: str) -> AsyncIterator[Session]:
    """
    One session that stays the same from statement to statement.

    Raises:
        PoolerRefused: statements of one connection reach different sessions.
        DatabaseUnavailable: nothing answers at this address, or PostgreSQL no longer lets us in.
    """
    async with connection_to(dsn) as connection:
        await _refuse_pooler(connection, dsn)
        yield connection


@asynccontextmanager
async def connection_to(dsn: str) -> AsyncIterator[Session]:
    """A plain connection without prepared statements. Raises DatabaseUnavailable."""
    try:
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS, statement_cache_size=0)
    except DATABASE_ERRORS as error:
        raise DatabaseUnavailable(_why_not(error)) from error
    try:
        yield connection
    except _LOST as error:
        raise DatabaseUnavailable(f"PostgreSQL's connection was lost ({_words(error)}): try again.") from error
    finally:
        if not connection.is_closed():
            await _close(connection)


async def _close(connection: Session) -> None:
    try:
        await connection.close(timeout=_STATEMENT_SECONDS)
    except DATABASE_ERRORS:
        connection.terminate()


def _why_not(error: Exception) -> str:
    """Tell an unknown name, a silent server and one that refuses us apart."""
    if isinstance(error, socket.gaierror):
        return f"The name of PostgreSQL's host is not found ({_words(error)}): check the address, or the resolver."
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PostgresConnectionError):
        return f"PostgreSQL lets us not in: {_words(error)}."
    return f"PostgreSQL does not answer: {_words(error)}."


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _refuse_pooler(connection: Session, dsn: str) -> None:
    """
    Mark our session, then look for the mark from connections that hold a transaction, and miss it in our own.

    A pooler that gives each transaction any idle session hands ours to one of them.
    """
    mark = await leave_mark(connection)
    async with AsyncExitStack() as strangers:
        for _ in range(_STRANGERS):
            stranger = await strangers.enter_async_context(connection_to(dsn))
            await strangers.enter_async_context(stranger.transaction())
            if await read_mark(stranger) == mark:
                raise PoolerRefused
        if {mark} != {await read_mark(connection) for _ in range(_STRANGERS)}:
            raise PoolerRefused
