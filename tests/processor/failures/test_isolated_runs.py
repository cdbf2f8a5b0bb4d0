"""Runs alone are counted, by one loop at a time."""

import asyncio
from typing import cast

from processor.failures.isolated_runs import IsolatedRuns
from processor.outcome import Work
from sluice.postgres.pool import Database, Record
from tests.processor.harness import Harness, event


class LateEnd:
    """PostgreSQL over a connection on which the first end of a run arrives when it is let through."""

    def __init__(self, database: Database) -> None:
        self.is_sent = asyncio.Event()
        self.may_arrive = asyncio.Event()
        self._database = database

    async def execute(self, query: str, *args: object) -> str:
        """Write; the first time only when told so."""
        if not self.is_sent.is_set():
            self.is_sent.set()
            await self.may_arrive.wait()
        return await self._database.execute(query, *args)

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """Read or write, at once."""
        return await self._database.fetch(query, *args)


async def test_an_end_on_its_way_does_not_undo_the_next_start(harness: Harness) -> None:
    """Else an event that kills its process would get a run more."""
    (message,) = await harness.recorded(event())
    work = Work(event=message.event, attempt=message.attempt, message=message.incoming())
    late = LateEnd(harness.database)
    isolated_runs = IsolatedRuns(cast("Database", late))
    isolated_runs.end(work)
    async with asyncio.TaskGroup() as group:
        group.create_task(isolated_runs.flush())
        await late.is_sent.wait()
        start = group.create_task(isolated_runs.begin(work))
        await asyncio.wait([start], timeout=0.2)  # it waits; one that did not would be through by now
        late.may_arrive.set()
    assert start.result() == 1
    assert (await harness.row(work.event))["solo_starts"] == 1
