"""Runs ``sluice maintain`` when the stack starts and each hour, as the CronJob of a cluster does."""

import asyncio
import time

import asyncpg

from sluice.maintenance.maintenance import Maintenance, Retention
from sluice.postgres.errors import DATABASE_ERRORS

EVERY_SECONDS = 3600.0
_RUN_SECONDS = 600.0


async def maintain(url: str) -> None:
    """Make partitions ahead; nothing is taken, for a laptop keeps all."""
    connection = await asyncpg.connect(url, timeout=30, statement_cache_size=0)
    try:
        async for _ in Maintenance(connection, Retention(), ends_at=time.monotonic() + _RUN_SECONDS).run():
            pass
    finally:
        await connection.close(timeout=5)


async def keep_maintaining(url: str, every_seconds: float = EVERY_SECONDS) -> None:
    """Do it each hour, for ever; while PostgreSQL is away, an hour later."""
    while True:
        await asyncio.sleep(every_seconds)
        try:
            await maintain(url)
        except DATABASE_ERRORS:
            continue
