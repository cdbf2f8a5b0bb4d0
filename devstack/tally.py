"""How far the stack has come: the numbers of its status line."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import asyncpg

from sluice.postgres.errors import DATABASE_ERRORS
from sluice.postgres.sql import load_queries

_QUERIES = load_queries(__file__, "tally.sql")
COUNTED_AT_MOST = 100_000


@dataclass(frozen=True)
class Progress:
    """Rows of webhook_logs: all, those still to be processed, and those given up."""

    logged: int
    backlog: int
    dead: int

    def __str__(self) -> str:
        """As a person reads it."""
        parts = [f"{_shown(self.logged)} webhooks logged", f"{_shown(self.backlog)} to do"]
        return ", ".join([*parts, f"{_shown(self.dead)} dead"] if self.dead else parts)


class Tally:
    """Counts over a connection of its own, which it makes anew when it is lost."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()

    async def progress(self) -> Progress | None:
        """The numbers now, or None while PostgreSQL cannot tell them."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self._dsn, timeout=2, command_timeout=2)
            row = await self._connection.fetchrow(_QUERIES["progress"], COUNTED_AT_MOST)
        except DATABASE_ERRORS:  # whatever it is: a status line that fails must not end the stack
            self.let_go()
            return None
        return None if row is None else Progress(row["logged"], row["backlog"], row["dead"])

    def let_go(self) -> None:
        """Drop the connection at once."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def is_migrated(dsn: str) -> bool:
    """Whether that database has Sluice's tables."""
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=10)
    try:
        return bool(await connection.fetchval(_QUERIES["is_migrated"]))
    finally:
        connection.terminate()


def _shown(count: int) -> str:
    return f"{count:,}+" if count >= COUNTED_AT_MOST else f"{count:,}"
