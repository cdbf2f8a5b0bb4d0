"""Why PostgreSQL did not serve us, in fixed words: safe to show, since no text of an error is in them."""

from collections.abc import Iterator, Mapping
from typing import Final

from sluice.postgres.errors import cause_of
from sluice.postgres.sqlstate import Cause, sqlstate

_OLDER_SCHEMA = "its schema is older than this release; run sluice migrate"
_REASONS: Final[Mapping[Cause, str]] = {
    Cause.HOST_UNKNOWN: "its name cannot be resolved (DNS)",
    Cause.LOGIN_REFUSED: "it refuses this user or password",
    Cause.TRANSACTION_POOLER: "a pooler in transaction mode stands before it; set DATABASE_STATEMENT_CACHE=false",
    Cause.DATABASE_UNKNOWN: "it has no database of this name",
    Cause.TOO_MANY_CONNECTIONS: "it has no connection left",
    Cause.STARTING_OR_STOPPING: "it is starting or stopping",
    Cause.READ_ONLY: "it takes no writes (a standby?)",
    Cause.TABLE_MISSING: _OLDER_SCHEMA,
    Cause.SCHEMA_OLDER: _OLDER_SCHEMA,
    Cause.RIGHT_MISSING: "this user lacks a right; run sluice migrate, and see its role",
    Cause.TLS_FAILED: "TLS failed",
    Cause.CONNECTION_REFUSED: "nothing listens at its address",
    Cause.NO_ANSWER: "it did not answer in time",
}


def reason_of(error: BaseException) -> str:
    """The reason of an error or, where that says nothing, of what caused it; its class and SQLSTATE at the least."""
    chain = list(_chain(error))
    for cause in chain:
        if reason := _REASONS.get(cause_of(cause)):
            return reason
    code = sqlstate(chain[-1])
    return f"{type(chain[-1]).__name__} {code}" if code else type(chain[-1]).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:  # an error that is raised again may be its own cause
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__
