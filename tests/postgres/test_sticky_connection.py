"""A connection that is kept between uses: the same one, until it fails or is given back."""

import asyncio

import asyncpg
import pytest

from sluice.postgres.pool import Database
from sluice.postgres.sticky_connection import StickyConnection

_PID = "SELECT pg_backend_pid()"


async def test_it_is_the_same_connection_until_it_is_given_back(database: Database) -> None:
    """Busy between two uses, idle afterwards."""
    sticky = StickyConnection(database)
    async with sticky.use(within_seconds=2) as connection:
        first = await connection.fetchval(_PID)
    assert database.status()["busy"] == 1
    async with sticky.use(within_seconds=2) as connection:
        assert await connection.fetchval(_PID) == first
    await sticky.give_back()
    assert database.status()["busy"] == 0


async def test_a_connection_that_failed_is_not_used_again(database: Database) -> None:
    """The block's own error comes out, and the next use works, on another connection."""
    sticky = StickyConnection(database)

    async def lose_it() -> None:
        async with sticky.use(within_seconds=2) as connection:
            lost.append(await connection.fetchval(_PID))
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    lost: list[int] = []
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await lose_it()
    async with sticky.use(within_seconds=2) as connection:
        assert await connection.fetchval(_PID) not in lost
    await sticky.give_back()


async def test_a_user_that_is_cancelled_leaves_the_pool_whole(database: Database) -> None:
    """As when a service ends in the middle of a write."""
    sticky = StickyConnection(database)

    async def work() -> None:
        async with sticky.use(within_seconds=2) as connection:
            begun.set()
            await connection.execute("SELECT pg_sleep(30)")

    begun = asyncio.Event()
    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert database.status()["busy"] == 0
    assert await database.fetch("SELECT 1", within_seconds=2)
