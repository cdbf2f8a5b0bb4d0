"""A read-only transaction for one page: it sees one state of the database, and ends in time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sluice.postgres.pool import Connection, Database
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "reading.sql")
_STATEMENT_MILLISECONDS = 3000


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[Connection]:
    """
    Read what a page shows.

    Raises:
        one of DATABASE_ERRORS, which ``faults_as_pages`` tells a person of.
    """
    async with database.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(QUERIES["limit_reading"], str(_STATEMENT_MILLISECONDS))
        yield connection
