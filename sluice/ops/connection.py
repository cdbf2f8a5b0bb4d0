"""One short-lived connection to PostgreSQL, and its errors in words that name the fix."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
import click

from sluice.postgres.errors import cause_of
from sluice.postgres.sqlstate import Cause

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

NOT_AN_ADDRESS = (
    "DATABASE_URL is no address of a database. It looks like postgresql://user:password@host:5432/database."
)
_CONNECT_SECONDS = 5.0
_COMMAND_SECONDS = 30.0
_CLOSE_SECONDS = 2.0


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """
    A connection for the length of one command; works behind a pooler too.

    Raises:
        click.ClickException: the database cannot be reached, or is not migrated, or forbids it; with the fix.
    """
    with explained(url):
        connection = await _connect(url)
        try:
            yield connection
        finally:
            await connection.close(timeout=_CLOSE_SECONDS)


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Say what an error of PostgreSQL means for a person; never the password."""
    place = place_of(url)
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise click.ClickException(f"{place}{_meaning(error)}") from error


_MEANINGS: Mapping[Cause, str] = {
    Cause.TABLE_MISSING: " lacks Sluice's tables ({told}). Run `sluice migrate` first.",
    Cause.SCHEMA_OLDER: " has an older schema ({told}). Run `sluice migrate`.",
    Cause.LOGIN_REFUSED: " refuses this user or password. Check DATABASE_URL.",
    Cause.DATABASE_UNKNOWN: ": there is no such database. Check the end of DATABASE_URL.",
    Cause.RIGHT_MISSING: ": {told}. Use a login that may, such as a member of sluice_operator.",
    Cause.CANCELED: " took too long to answer. Try again, or ask for less.",
}


def _meaning(error: Exception) -> str:
    told = str(error) or type(error).__name__
    if meaning := _MEANINGS.get(cause_of(error)):
        return meaning.format(told=told)
    if isinstance(error, asyncpg.PostgresError):
        return f" answered with an error: {told}"
    return f" cannot be reached ({told}). Check DATABASE_URL, or start a stack with `make run`."


async def _connect(url: str) -> Connection:
    try:
        return await asyncpg.connect(
            url, timeout=_CONNECT_SECONDS, command_timeout=_COMMAND_SECONDS, statement_cache_size=0
        )
    except ValueError as error:
        raise click.UsageError(NOT_AN_ADDRESS) from error


def place_of(url: str) -> str:
    """Where a database is, in words, without user and password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or 5432
    except ValueError:
        return "PostgreSQL"
    return f"PostgreSQL at {host}:{port}{parts.path}"
