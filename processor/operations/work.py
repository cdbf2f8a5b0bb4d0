"""Work off what operators have asked for, until nothing is left: one process of all replicas at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from processor.failures.error_summary import describe
from processor.operations import handler_run, rehearse
from processor.operations.halving import Interrupted
from processor.operations.handler_run import HandlerRun, Over
from processor.operations.rehearse import SECONDS, Asked, Rehearsals
from processor.worker.dispatcher import Dispatcher
from processor.worker.transaction import Limits, Processor
from sluice.failures import DatabaseUnavailable
from sluice.operations.verbs import Verb
from sluice.postgres.pool import DATABASE_ERRORS, Connection, Database, Record
from sluice.postgres.sql import load_queries
from sluice.registry import Registry, name_of
from sluice.runtime.logs import get_logger

QUERIES = load_queries(__file__, "work.sql")
log = get_logger()
CONNECTIONS: Final = 4
"""One holds the seat, one works, one looks on, and one notes what runs."""
_LINGER_SECONDS: Final = 10.0
"""How long to wait for the next question: who asks one often asks another."""
_LOOK_SECONDS: Final = 0.25
_AFTER_FAILURE_SECONDS: Final = 1.0
_REST: Final = 1.0
"""Times what a step took: webhooks come first."""
_MOST_STARTS: Final = 2
"""Runs of a rehearsal, of which the second names each webhook before it runs."""


@dataclass
class Work:
    """Rehearsals first, then a step of each operation by turns."""

    database: Database
    registry: Registry
    processor: Processor
    rehearsals: Rehearsals
    limits: Limits
    stop: asyncio.Event
    most_starts: int = 3
    _runs: dict[int, HandlerRun] = field(default_factory=dict)

    async def run(self) -> bool:
        """Work until nothing has been left for a while; False: another process works."""
        async with self.database.acquire() as connection, connection.transaction():
            if not await connection.fetchval(QUERIES["take_seat"]):
                return False
            await self._run(connection)
        return True

    async def _run(self, seat: Connection) -> None:
        clock = asyncio.get_running_loop()
        worked_at = clock.time()
        while not self.stop.is_set() and clock.time() - worked_at < _LINGER_SECONDS:
            await seat.execute(QUERIES["keep_seat"])  # raises where the seat is lost
            if await self.run_once():
                worked_at = clock.time()
            else:
                await self._pause(_LOOK_SECONDS)

    async def run_once(self) -> bool:
        """Do the next thing; whether there was one."""
        try:
            return await self._rehearse_next() or await self._step_each()
        except (Interrupted, *DATABASE_ERRORS) as error:
            log.warning("operation_interrupted", reason=describe(error.__cause__ or error))
            await self._pause(_AFTER_FAILURE_SECONDS)
            return True

    async def _rehearse_next(self) -> bool:
        names = [handler.name for handler in self.registry.registered]
        rows = await self.database.fetch(rehearse.QUERIES["take"], names)
        if not rows:
            return False
        await self._answer(_asked(rows[0]))
        return True

    async def _answer(self, asked: Asked) -> None:
        answer = problem = None
        try:
            if asked.starts > _MOST_STARTS:
                problem = (
                    f"It was begun twice and did not end; {asked.at_item or 'no webhook'} ran then. Leave that out."
                )
            else:
                answer = (await self.rehearsals.answer(asked, lambda item: self._note_item(asked.id, item))).as_json()
        except DatabaseUnavailable:
            raise
        except TimeoutError:
            problem = f"It took more than {SECONDS:.0f} s. Ask for fewer: --limit."
        except Exception as error:  # noqa: BLE001 - who asked is told
            problem = describe(error)
        log.info("rehearsal_ended", rehearsal=asked.id, webhooks=len(asked.items), problem=problem)
        await self.database.execute(rehearse.QUERIES["answer"], asked.id, answer, problem)

    async def _note_item(self, rehearsal: int, item: str) -> None:
        await self.database.execute(rehearse.QUERIES["note_item"], rehearsal, item)

    async def _step_each(self) -> bool:
        names = [handler.name for handler in self.registry.registered]
        rows = await self.database.fetch(handler_run.QUERIES["read_open"], names)
        for row in rows:
            async with self._bounded(row["rate"]) as note:
                note(await self._step(row))
        return bool(rows)

    async def _step(self, row: Record) -> int:
        run = self._runs.setdefault(row["id"], self._handler_run(row))
        try:
            return await run.step()
        except Over:
            del self._runs[row["id"]]
            return 0

    def _handler_run(self, row: Record) -> HandlerRun:
        registry = self.registry.only(lambda handler: name_of(handler) == row["handler"])
        dispatcher: Dispatcher = replace(self.processor.dispatcher, registry=registry)
        return HandlerRun(self.database, dispatcher, self.limits, row["id"], row["rate"], self.most_starts)

    @asynccontextmanager
    async def _bounded(self, rate: int | None) -> AsyncIterator[Callable[[int], None]]:
        """Rest after a step: as long as its rate says, else for as long as it took."""
        clock = asyncio.get_running_loop()
        began, taken = clock.time(), 0

        def note(count: int) -> None:
            nonlocal taken
            taken = count

        yield note
        took = clock.time() - began
        await self._pause(took * _REST if rate is None else max(0.0, taken / rate - took))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            return


def _asked(row: Record) -> Asked:
    return Asked(**{**row, "verb": Verb(row["verb"])})
