"""Applies the migrations that a database lacks: each once, one runner at a time, all or nothing."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from sluice.failures import Failure, Rejected, Unavailable
from sluice.postgres.errors import DATABASE_ERRORS, cause_of
from sluice.postgres.migration_files import CORE_SET, MigrationFile, installed_migrations, preflight_query
from sluice.postgres.session_connection import Session, connection_to, direct_connection
from sluice.postgres.sql import load_queries
from sluice.postgres.sqlstate import Cause
from sluice.runtime import logs

_QUERIES = load_queries(__file__, "migrator.sql")
_CONFLICT = re.compile(r"^\d+\. (.+)\n   (.+)$", re.MULTILINE)
_CONFLICT_STATE = "SLU01"
_BUSY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_CONNECTION_GONE = frozenset(
    {
        Cause.HOST_UNKNOWN,
        Cause.TLS_FAILED,
        Cause.CONNECTION_REFUSED,
        Cause.NO_ANSWER,
        Cause.CONNECTION_LOST,
        Cause.SHUT_DOWN_BY_ORDER,
        Cause.CRASHED,
        Cause.STARTING_OR_STOPPING,
    }
)

_LOCK_SECONDS = 3  # while a statement waits for a lock, all later ones wait behind it
_TRIES = 10
_TURN_SECONDS = 900
_TURN_POLL_SECONDS = 0.1
_READ_SECONDS = 30
_FILE_SECONDS = 600
_INDEX_SECONDS = 6 * 3600  # a concurrent index on a big table, beside ordinary work


@dataclass(frozen=True)
class AppliedMigration:
    """One file that this run applied."""

    name: str
    checksum: str
    seconds: float

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Conflict:
    """An obstacle to Sluice's schema, and the statement that cures it."""

    problem: str
    cure: str

    def __str__(self) -> str:
        return f"{self.problem}\n   {self.cure}"


class ConflictsFound(Rejected):
    """The database has tables that Sluice's schema does not go with."""

    code = "schema_conflicts"

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        listed = "\n".join(f"{number}. {conflict}" for number, conflict in enumerate(conflicts, 1))
        super().__init__(f"Nothing was changed; cure each conflict, then migrate again:\n{listed}")
        self.conflicts = conflicts


class MigrationChanged(Rejected):
    """A migration that was applied reads differently now."""

    code = "migration_changed"


class MigrationFailed(Rejected):
    """PostgreSQL refused a migration."""

    code = "migration_failed"


class MigrationBusy(Unavailable):
    """Another session holds what a migration needs; try again."""

    code = "migration_busy"


async def migrate(dsn: str, *, files: Sequence[MigrationFile] | None = None) -> Sequence[AppliedMigration]:
    """
    Apply what is missing and tell what that was; nothing when all is applied.

    Args:
        files: what there is to apply, in order; by default all that is installed.

    Raises:
        PoolerRefused, ConflictsFound, MigrationChanged, MigrationFailed: a person must do what the message says.
        MigrationBusy, DatabaseUnavailable: the same call may succeed later.
    """
    wanted = installed_migrations() if files is None else files
    async with direct_connection(dsn) as session, _turn(session):
        session.add_log_listener(_tell)
        checksums = await _checksums(session)
        if not checksums and any(file.set_name == CORE_SET for file in wanted):
            await _refuse_conflicts(session)
        applied = [await _apply_when_free(session, file) for file in _missing(wanted, checksums)]
        session.remove_log_listener(_tell)
    return applied


async def preflight(dsn: str) -> Sequence[Conflict]:
    """List, changing nothing, everything that is in the way of Sluice's own migrations. Raises DatabaseUnavailable."""
    async with connection_to(dsn) as session:
        return await _look_ahead(session)


async def pending(dsn: str) -> Sequence[str]:
    """Names of the installed migrations not applied, in order. Raises DatabaseUnavailable, MigrationChanged."""
    async with connection_to(dsn) as session, session.transaction(readonly=True):
        return [file.name for file in _missing(installed_migrations(), await _checksums(session))]


async def _look_ahead(session: Session) -> Sequence[Conflict]:
    try:
        async with session.transaction(readonly=True):
            await session.execute(preflight_query(), timeout=_FILE_SECONDS)
    except asyncpg.PostgresError as error:
        if error.sqlstate != _CONFLICT_STATE:
            raise _explained(error, "the preflight") from error
        return _conflicts(error)
    return []


async def _refuse_conflicts(session: Session) -> None:
    if conflicts := await _look_ahead(session):
        raise ConflictsFound(conflicts)


@asynccontextmanager
async def _turn(session: Session) -> AsyncIterator[None]:
    """Be the only runner in this database; the lock ends with the session at the latest."""
    deadline = time.monotonic() + _TURN_SECONDS
    while not await session.fetchval(_QUERIES["take_turn"], timeout=_READ_SECONDS):
        if time.monotonic() > deadline:
            raise MigrationBusy("Another `sluice migrate` has been at work for long: see what it waits for.")
        await asyncio.sleep(_TURN_POLL_SECONDS)
    yield
    await session.execute(_QUERIES["end_turn"], timeout=_READ_SECONDS)


async def _checksums(session: Session) -> Mapping[tuple[str, str], str]:
    """Read the checksums of the applied migrations, by set and file."""
    if not await session.fetchval(_QUERIES["has_record"], timeout=_READ_SECONDS):
        return {}
    rows = await session.fetch(_QUERIES["read_applied"], timeout=_READ_SECONDS)
    return {(row["set_name"], row["file_name"]): row["checksum"] for row in rows}


def _missing(wanted: Sequence[MigrationFile], applied: Mapping[tuple[str, str], str]) -> Sequence[MigrationFile]:
    stale = [file for file in wanted if applied.get((file.set_name, file.file_name)) != file.checksum]
    for file in stale:
        checksum = applied.get((file.set_name, file.file_name))
        if checksum is not None and not file.may_follow(checksum):
            raise MigrationChanged(
                f"{file.name} was applied and has been changed since: restore it and put the change into a new file; "
                "or, if it may run again as it is now, delete its row in sluice_migration first."
            )
    return stale


async def _apply_when_free(session: Session, file: MigrationFile) -> AppliedMigration:
    """Try a few times where a busy table is in the way; between the tries other sessions go on."""
    for attempt in range(1, _TRIES + 1):
        started = time.monotonic()
        try:
            await (_apply(session, file) if file.is_transactional else _apply_singly(session, file))
        except _BUSY as error:
            logs.get_logger().warning("migration_waits", migration=file.name, attempt=attempt, reason=str(error))
            await asyncio.sleep(min(attempt, 5) * 0.2)
        except DATABASE_ERRORS as error:
            raise _explained(error, file.name) from error
        else:
            return AppliedMigration(file.name, file.checksum, time.monotonic() - started)
    raise MigrationBusy(
        f"{file.name} waited {_TRIES} times for a table that another session holds locked, and changed nothing. "
        "Look in pg_stat_activity for the oldest xact_start, then try again."
    )


async def _apply(session: Session, file: MigrationFile) -> None:
    async with session.transaction(isolation="read_committed"):
        await session.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'", timeout=_READ_SECONDS)
        await session.execute(file.body, timeout=_FILE_SECONDS)
        await _record(session, file)


async def _apply_singly(session: Session, file: MigrationFile) -> None:
    """Run statement by statement; an index that an earlier run left unfinished is built anew."""
    for index in await _unfinished(session, file):
        await session.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}", timeout=_INDEX_SECONDS)
    for statement in file.statements():
        await session.execute(statement, timeout=_INDEX_SECONDS)
    if unfinished := await _unfinished(session, file):
        raise MigrationFailed(f"{file.name} left {', '.join(unfinished)} unfinished: migrate again.")
    await _record(session, file)


async def _unfinished(session: Session, file: MigrationFile) -> Sequence[str]:
    rows = await session.fetch(_QUERIES["find_unfinished"], file.concurrent_indexes, timeout=_READ_SECONDS)
    return [row["name"] for row in rows]


async def _record(session: Session, file: MigrationFile) -> None:
    query = _QUERIES["record_applied"]
    await session.execute(query, file.set_name, file.file_name, file.checksum, timeout=_READ_SECONDS)


def _explained(error: BaseException, what: str) -> Failure:
    """Say what a person must do about an error of PostgreSQL's or of the way there."""
    if cause_of(error) in _CONNECTION_GONE:
        return MigrationBusy(
            f"The connection was lost during {what} ({str(error) or type(error).__name__}): migrate again."
        )
    if not isinstance(error, asyncpg.PostgresError):
        return MigrationFailed(f"{what}: {error}")
    if error.sqlstate == _CONFLICT_STATE:
        return ConflictsFound(_conflicts(error))
    hint = f" {error.hint}" if error.hint else ""
    if cause_of(error) is Cause.RIGHT_MISSING:
        hint = " Run it as the owner of the tables, or as a role that the owner was granted to."
    return MigrationFailed(f"{what}: PostgreSQL refused it ({error.sqlstate}): {error}.{hint} Nothing of it was kept.")


def _conflicts(error: asyncpg.PostgresError) -> Sequence[Conflict]:
    return [Conflict(problem, cure) for problem, cure in _CONFLICT.findall(str(error))]


def _tell(session: object, message: asyncpg.PostgresLogMessage) -> None:
    """Pass on what a migration warns of; that something exists already is only a notice."""
    del session
    if message.severity_en != "NOTICE":
        logs.get_logger().warning("migration_warning", message=str(message))
