"""Why PostgreSQL did not serve us, in fixed words: safe to show, since no text of an error is in them."""

import socket
import ssl
from collections.abc import Iterator

import asyncpg

from sluice.postgres.errors import TransactionPooler

_REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (socket.gaierror, "its name cannot be resolved (DNS)"),
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        "it refuses this user or password",
    ),
    (TransactionPooler, "a pooler in transaction mode stands before it; set DATABASE_STATEMENT_CACHE=false"),
    (asyncpg.InvalidCatalogNameError, "it has no database of this name"),
    (asyncpg.TooManyConnectionsError, "it has no connection left"),
    (asyncpg.CannotConnectNowError, "it is starting or stopping"),
    (asyncpg.ReadOnlySQLTransactionError, "it takes no writes (a standby?)"),
    (
        (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError),
        "its schema is older than this release; run sluice migrate",
    ),
    (asyncpg.InsufficientPrivilegeError, "this user lacks a right; run sluice migrate, and see its role"),
    (ssl.SSLError, "TLS failed"),
    (ConnectionRefusedError, "nothing listens at its address"),
    (TimeoutError, "it did not answer in time"),
)


def reason_of(error: BaseException) -> str:
    """The reason of an error or, where that says nothing, of what caused it; its class and SQLSTATE at the least."""
    for cause in _chain(error):
        for kinds, reason in _REASONS:
            if isinstance(cause, kinds):
                return reason
    last = list(_chain(error))[-1]
    state = getattr(last, "sqlstate", None)
    return f"{type(last).__name__} {state}" if state else type(last).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:  # an error that is raised again may be its own cause
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__
