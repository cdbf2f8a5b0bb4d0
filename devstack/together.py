"""Several things at once, as one thing that works or fails."""

import asyncio
from collections.abc import Awaitable


async def together(*works: Awaitable[object]) -> None:
    """Do all of them at the same time; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(_do(work))
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures


async def _do(work: Awaitable[object]) -> None:
    await work


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
