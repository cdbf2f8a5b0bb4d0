"""A connection that is kept while work follows work, so that nothing lies between one statement and the next."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sluice.postgres.pool import DATABASE_ERRORS, Connection, Database


class StickyConnection:
    """
    At most one connection of a pool, for one user at a time.

    Giving a connection back and taking it again costs a task and several turns of the event loop, during which
    PostgreSQL would have nothing to do.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held = AsyncExitStack()
        self._connection: Connection | None = None

    @asynccontextmanager
    async def use(self, *, within_seconds: float) -> AsyncIterator[Connection]:
        """
        The connection that is held, or a new one; it stays held after the block unless the block fails.

        Raises:
            DatabaseUnavailable: none was held, and the pool had none in that time.
        """
        if self._connection is not None and _is_lost(self._connection):
            await self.give_back()
        if self._connection is None:
            acquired = self._database.acquire(within_seconds=within_seconds)
            self._connection = await self._held.enter_async_context(acquired)
        try:
            yield self._connection
        except BaseException as error:
            self._connection = None
            await self._held.__aexit__(type(error), error, error.__traceback__)
            raise

    async def give_back(self) -> None:
        """Hold nothing; the next use takes a connection again."""
        self._connection = None
        await self._held.aclose()


def _is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except DATABASE_ERRORS:  # the pool has taken the dead connection back already
        return True
