"""
Let one of several reconcilers work: the one whose name stands in ``reconcile_lease``, as long as it renews that.

A lease in a row, not a lock of a session: that would not last behind a pooler in transaction mode. A reconciler that
lost it and does not know yet writes nothing that matters: each step of a pass is kept in the name of the holder alone.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.sql import load_queries
from sluice.runtime import logs
from sluice.runtime.endless import turn

_QUERIES = load_queries(__file__, "lease.sql")


class LeaseLost(Exception):
    """Another reconciler works by now."""


class Lease:
    """
    The right to work, renewed in the background.

    Args:
        lease_seconds: how long it outlives a process that died.
    """

    def __init__(self, database: Database, *, lease_seconds: float = 15) -> None:
        self.holder = uuid.uuid4().hex
        self.is_held = False
        self._database = database
        self._lease_seconds = lease_seconds

    async def while_held(self, *works: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, and do all this work until another one has it; what one of them raises ends it too."""
        await self._wait()
        self.is_held = True
        logs.get_logger().info("reconciling_begins")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew())
                for work in works:
                    group.create_task(_do(work))
        except* LeaseLost:
            logs.get_logger().warning("reconciling_handed_over")
        finally:
            self.is_held = False
            with suppress(*DATABASE_ERRORS):
                await self._database.execute(_QUERIES["give_back"], self.holder, within_seconds=1)

    async def _wait(self) -> None:
        while not await self._take():
            turn()
            await asyncio.sleep(self._lease_seconds / 3)

    async def _renew(self) -> None:
        """Until it is lost, or PostgreSQL has been away for so long that another may have it."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._lease_seconds
        while True:
            await asyncio.sleep(self._lease_seconds / 5)
            began = loop.time()
            is_known = await self._is_still_ours()
            if is_known:
                ends_at = began + self._lease_seconds
            elif is_known is False or loop.time() >= ends_at:
                raise LeaseLost

    async def _is_still_ours(self) -> bool | None:
        """None: PostgreSQL does not say."""
        try:
            return bool(await self._database.fetch(_QUERIES["take"], self.holder, self._lease_seconds))
        except DATABASE_ERRORS:
            return None

    async def _take(self) -> bool:
        return await self._is_still_ours() is True


async def _do(work: Callable[[], Awaitable[None]]) -> None:
    await work()
