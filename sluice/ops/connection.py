"""One short-lived connection to PostgreSQL, and its errors in words that name the fix."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
import click

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
    except asyncpg.UndefinedTableError as error:
        raise click.ClickException(f"{place} lacks Sluice's tables ({error}). Run `sluice migrate` first.") from error
    except (asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError) as error:
        raise click.ClickException(f"{place} has an older schema ({error}). Run `sluice migrate`.") from error
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise click.ClickException(f"{place} refuses this user or password. Check DATABASE_URL.") from error
    except asyncpg.InvalidCatalogNameError as error:
        raise click.ClickException(f"{place}: there is no such database. Check the end of DATABASE_URL.") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise click.ClickException(
            f"{place}: {error}. Use a role that may, such as a member of sluice_migrator."
        ) from error
    except asyncpg.QueryCanceledError as error:
        raise click.ClickException(f"{place} took too long to answer. Try again, or ask for less.") from error
    except asyncpg.PostgresError as error:
        raise click.ClickException(f"{place} answered with an error: {error}") from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        reason = str(error) or type(error).__name__
        raise click.ClickException(
            f"{place} cannot be reached ({reason}). Check DATABASE_URL, or start a stack with `make run`."
        ) from error


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
