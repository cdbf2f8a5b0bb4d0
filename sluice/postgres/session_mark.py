"""
A mark on a session of PostgreSQL, by which it is known again.

A pooler in transaction mode gives each transaction any idle session. A setting of our own invention is nothing that it
carries over; ``pg_backend_pid`` alone would stay the same on an idle pooler.
"""

from typing import TypeAlias
from uuid import uuid4

import asyncpg

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_STATEMENT_SECONDS = 10


async def leave_mark(connection: Session) -> str:
    """Mark the session that answers with a word that no other has."""
    mark = uuid4().hex
    await connection.execute(f"SET sluice.session = '{mark}'", timeout=_STATEMENT_SECONDS)
    return mark


async def read_mark(connection: Session) -> str | None:
    """Read the mark of the session that answers; in a transaction, which no pooler can tear apart."""
    async with connection.transaction():
        query = "SELECT current_setting('sluice.session', true)"
        found: str | None = await connection.fetchval(query, timeout=_STATEMENT_SECONDS)
        return found
