"""Operations that this console carries out in the background; one that is cut short stays open on record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

from console import metrics
from sluice.operations.run import Runner
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.runtime import logs
from sluice.runtime.backoff import Backoff

_AT_ONCE: Final = 3
"""Connections that operations may hold of the pool; others wait for their turn."""
_TRIES: Final = 10
_BACKOFF: Final = Backoff(1, 30)


class Runs:
    """The tasks of operations under way."""

    def __init__(self, database: Database, group: asyncio.TaskGroup) -> None:
        """Use ``open``."""
        self._database = database
        self._group = group
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database) -> AsyncIterator[Self]:
        """Carry operations out until the block ends; what is not done by then stays open, and is whole."""
        async with asyncio.TaskGroup() as group:
            runs = cls(database, group)
            try:
                yield runs
            finally:
                for task in runs._tasks.values():
                    task.cancel()

    def start(self, operation_id: int) -> None:
        """Carry an operation out, unless this console does so already."""
        if operation_id not in self._tasks:
            task = self._group.create_task(self._run(operation_id), name=f"operation {operation_id}")
            self._tasks[operation_id] = task
            metrics.RUNS.set(len(self._tasks))

    async def wait(self) -> None:
        """Wait until none is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _run(self, operation_id: int) -> None:
        try:
            async with self._turns:
                await self._run_in_spite_of_outages(operation_id)
        finally:
            del self._tasks[operation_id]
            metrics.RUNS.set(len(self._tasks))

    async def _run_in_spite_of_outages(self, operation_id: int) -> None:
        for failures in range(1, _TRIES + 1):
            try:
                async with self._database.acquire() as connection:
                    await Runner(connection, operation_id, lambda _: None).run()
            except DATABASE_ERRORS as error:
                logs.get_logger().warning("operation_stopped", operation=operation_id, error=type(error).__name__)
                await asyncio.sleep(_BACKOFF.seconds(failures))
            else:
                return
        logs.get_logger().error("operation_given_up", operation=operation_id)
