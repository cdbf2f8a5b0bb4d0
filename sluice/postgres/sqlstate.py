"""The one table of SQLSTATEs: what each says went wrong. Every verdict on PostgreSQL's errors begins here; pure."""

import enum
from collections.abc import Mapping
from typing import Final


class Cause(enum.Enum):
    """A thing that goes wrong with PostgreSQL; two where callers act on them differently."""

    # On the way to PostgreSQL: told by the kind of an exception, not by a SQLSTATE.
    HOST_UNKNOWN = "the name of its host cannot be resolved"
    TLS_FAILED = "no encrypted connection"
    CONNECTION_REFUSED = "nothing listens at its address"
    NO_ANSWER = "it did not answer in time"
    TRANSACTION_POOLER = "a pooler swapped the session for another"
    UNAVAILABLE = "a pool of ours says so"

    # The server, or its session.
    CONNECTION_LOST = "the connection failed"
    SESSION_CHANGED = "a prepared statement is not there"
    LOGIN_REFUSED = "the user or the password"
    DATABASE_UNKNOWN = "no database of that name"
    READ_ONLY = "it takes no writes"
    TOO_MANY_CONNECTIONS = "no connection is left"
    RESOURCES_EXHAUSTED = "disk, memory"
    STARTING_OR_STOPPING = "it lets no client in yet, or no more"
    SHUT_DOWN_BY_ORDER = "an administrator ended the server, or this connection"
    CRASHED = "another backend crashed, and took all with it"
    OPERATOR_INTERVENED = "ended from outside, in another way"
    SYSTEM_ERROR = "the machine below it"

    # Other transactions.
    COLLISION = "a deadlock, or a serialization failure"
    LOCK_NOT_AVAILABLE = "a lock that another transaction held for too long"
    CANCELED = "the statement's time was up"
    TRANSACTION_STATE = "not in this state of the transaction"
    TRANSACTION_ABORTED = "a statement after a failed one"

    # The schema, and the rights in it.
    TABLE_MISSING = "no such table"
    SCHEMA_OLDER = "no such column or function"
    RIGHT_MISSING = "this user lacks a right"

    ROW_REFUSED = "a value, a constraint, a limit, a trigger"
    DATA_CORRUPTED = "a broken page, or an error of PostgreSQL's own"
    OTHER = "the statement itself, or what this table does not know"


# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CAUSES: Final[Mapping[str, Cause]] = {
    "08": Cause.CONNECTION_LOST,
    "22": Cause.ROW_REFUSED,
    "23": Cause.ROW_REFUSED,
    "25": Cause.TRANSACTION_STATE,
    "25006": Cause.READ_ONLY,
    "25P02": Cause.TRANSACTION_ABORTED,
    "26": Cause.SESSION_CHANGED,
    "28": Cause.LOGIN_REFUSED,
    "3D": Cause.DATABASE_UNKNOWN,
    "40": Cause.COLLISION,
    "42501": Cause.RIGHT_MISSING,
    "42703": Cause.SCHEMA_OLDER,
    "42883": Cause.SCHEMA_OLDER,
    "42P01": Cause.TABLE_MISSING,
    "53": Cause.RESOURCES_EXHAUSTED,
    "53300": Cause.TOO_MANY_CONNECTIONS,
    "54": Cause.ROW_REFUSED,
    "55": Cause.LOCK_NOT_AVAILABLE,
    "57": Cause.OPERATOR_INTERVENED,
    "57014": Cause.CANCELED,
    "57P01": Cause.SHUT_DOWN_BY_ORDER,
    "57P02": Cause.CRASHED,
    "57P03": Cause.STARTING_OR_STOPPING,
    "58": Cause.SYSTEM_ERROR,
    "P0": Cause.ROW_REFUSED,
    "XX": Cause.DATA_CORRUPTED,
}
"""By code, else by its class of two letters."""

TRANSIENT: Final = frozenset(
    {
        Cause.HOST_UNKNOWN,
        Cause.TLS_FAILED,
        Cause.CONNECTION_REFUSED,
        Cause.NO_ANSWER,
        Cause.TRANSACTION_POOLER,
        Cause.UNAVAILABLE,
        Cause.CONNECTION_LOST,
        Cause.READ_ONLY,
        Cause.TOO_MANY_CONNECTIONS,
        Cause.RESOURCES_EXHAUSTED,
        Cause.STARTING_OR_STOPPING,
        Cause.SHUT_DOWN_BY_ORDER,
        Cause.CRASHED,
        Cause.OPERATOR_INTERVENED,
        Cause.COLLISION,
        Cause.LOCK_NOT_AVAILABLE,
        Cause.CANCELED,
        Cause.TRANSACTION_STATE,
        Cause.TRANSACTION_ABORTED,
    }
)
"""The same work may succeed later."""
AWAY: Final = TRANSIENT - {
    Cause.READ_ONLY,
    Cause.COLLISION,
    Cause.LOCK_NOT_AVAILABLE,
    Cause.TRANSACTION_STATE,
    Cause.TRANSACTION_ABORTED,
}
"""PostgreSQL itself was away, full or shutting down, or did not answer in time."""
FAILOVER: Final = frozenset(
    {Cause.READ_ONLY, Cause.SHUT_DOWN_BY_ORDER, Cause.CRASHED, Cause.STARTING_OR_STOPPING},
)
"""This server no longer takes writes, so every connection to it should be made afresh."""


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-letter code of an error, whichever library raised it; None for an error of another kind."""
    code = getattr(error, "sqlstate", None)
    return code if isinstance(code, str) else None


def cause_of_code(code: str) -> Cause:
    """Look a SQLSTATE up."""
    return _CAUSES.get(code) or _CAUSES.get(code[:2], Cause.OTHER)
