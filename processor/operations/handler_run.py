"""
Run one handler over stored webhooks: each effect commits together with its item, so each webhook counts once.

Some run together; where they fail, halves. That they begin is committed before. So what ends this process runs alone
afterwards, and is given up when that has happened too often; no other webhook goes with it.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import orjson

from processor.failures.classify import Blame, blame
from processor.failures.error_summary import describe
from processor.operations.halving import Interrupted, run_in_parts
from processor.operations.one_handler import run_handler
from processor.operations.stored import Stored, read_stored
from processor.outcome import Handled, word
from processor.worker.dispatcher import Dispatcher
from processor.worker.transaction import Limits, open_transaction
from sluice.inbox.states import State
from sluice.operations.book import Result
from sluice.operations.handlers import HISTORY
from sluice.outcomes import Applied, Ignored
from sluice.postgres.pool import Connection, Database
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "handler_run.sql")
_TOGETHER: Final = 50
_STEPS_A_SECOND: Final = 4
"""So many make a rate that is even enough."""
_MOST_WAITS: Final = 20
"""So often an item is tried whose locks another transaction holds."""
_ENDED_ITS_PROCESS: Final = "its process ended, or lost its connection, in {} runs of this webhook, and no run ended"
_RUN: Final = {*(str(state) for state in HISTORY), str(State.WRITTEN_OFF)}


class Over(Interrupted):
    """The operation has ended, or was cancelled."""

    def __init__(self) -> None:
        super().__init__(())


class Taken(NamedTuple):
    """One item whose turn it is."""

    position: int
    item_id: str
    starts: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Fate of one item."""

    item_id: str
    result: Result
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None


@dataclass
class HandlerRun:
    """One operation, carried out step by step."""

    database: Database
    dispatcher: Dispatcher
    """With the one handler alone."""
    limits: Limits
    operation_id: int
    rate: int | None
    most_starts: int = 3
    _position: int = 0
    _waits: Counter[str] = field(default_factory=Counter)

    async def step(self) -> int:
        """
        End some items; how many were taken.

        Raises:
            Over: there is nothing to do any more.
            Interrupted: the connection was lost while a handler ran.
            DatabaseUnavailable: PostgreSQL is away.
        """
        taken = await self._take()
        if not taken:
            await self._end_or_begin_anew()
            return 0
        self._position = taken[-1].position
        hopeless = [one for one in taken if one.starts >= self.most_starts + 1]
        if hopeless:
            text = _ENDED_ITS_PROCESS.format(hopeless[0].starts)
            await self._note([Ended(one.item_id, Result.FAILED, None, {"error": text}) for one in hopeless])
            return len(hopeless)
        await self.database.execute(QUERIES["begin"], self.operation_id, [one.position for one in taken])
        await self._run(taken)
        return len(taken)

    async def _take(self) -> Sequence[Taken]:
        """Items that run together: such as began before and did not end run alone."""
        size = _TOGETHER if self.rate is None else min(_TOGETHER, max(1, self.rate // _STEPS_A_SECOND))
        rows = await self.database.fetch(QUERIES["take"], self.operation_id, self._position, size)
        taken = [Taken(**row) for row in rows]
        if taken and taken[0].starts:
            return taken[:1]
        return taken[: next((place for place, one in enumerate(taken) if one.starts), len(taken))]

    async def _end_or_begin_anew(self) -> None:
        """All have had their turn; those that waited for locks have another."""
        has_ended = bool(await self.database.fetch(QUERIES["end"], self.operation_id))
        if has_ended or self._position == 0:
            raise Over
        self._position = 0

    async def _run(self, taken: Sequence[Taken]) -> None:
        async with self.database.acquire() as connection:
            stored = await read_stored(connection, [one.item_id for one in taken])
        known = {one.event_id for one in stored}
        missing = [Ended(one.item_id, Result.MISSING) for one in taken if one.item_id not in known]
        unfit = [Ended(one.event_id, Result.UNFIT, _told(one)) for one in stored if one.state not in _RUN]
        if missing or unfit:
            await self._note([*missing, *unfit])
        positions = {one.item_id: one.position for one in taken}
        fit = [one for one in stored if one.state in _RUN]
        await run_in_parts(
            fit, lambda works: self._commit(works, positions), lambda work, error: self._fail(work, error, positions)
        )

    async def _commit(self, works: Sequence[Stored], positions: Mapping[str, int]) -> None:
        """One transaction: the handler's effects, and what became of each item."""
        async with (
            asyncio.timeout(self.limits.transaction_seconds),
            self.database.acquire() as connection,
            open_transaction(connection),
        ):
            held = await self._hold(connection, [positions[work.event_id] for work in works])
            mine = [work for work in works if work.event_id in held]
            await self._handle(connection, mine)

    async def _hold(self, connection: Connection, positions: Sequence[int]) -> Collection[str]:
        """Lock these items, and keep the operation from being cancelled meanwhile."""
        if not await connection.fetch(QUERIES["may_go_on"], self.operation_id):
            raise Over
        rows = await connection.fetch(QUERIES["hold"], self.operation_id, positions)
        return {row["item_id"] for row in rows}

    async def _handle(self, connection: Connection, mine: Sequence[Stored]) -> None:
        answers = await run_handler(self.dispatcher, mine, connection, self.limits)
        await _note(connection, self.operation_id, [_ended(work, answers.get(work.event_id)) for work in mine])

    async def _fail(self, work: Stored, error: Exception, positions: Mapping[str, int]) -> None:
        whose = blame(error)
        if whose in (Blame.OUTAGE, Blame.UNCLEAR):
            raise Interrupted([work.event_id]) from error  # its start stays on record
        if whose in (Blame.COLLISION, Blame.CONTENTION):
            await self._wait(work, positions)
            return
        await self._note([Ended(work.event_id, Result.FAILED, _told(work), {"error": describe(error)})])

    async def _wait(self, work: Stored, positions: Mapping[str, int]) -> None:
        """Leave an item for later whose locks another transaction holds."""
        self._waits[work.event_id] += 1
        if self._waits[work.event_id] >= _MOST_WAITS:
            await self._note([Ended(work.event_id, Result.HELD, _told(work))])
        else:
            await self.database.execute(QUERIES["forget_starts"], self.operation_id, [positions[work.event_id]])

    async def _note(self, ended: Sequence[Ended]) -> None:
        async with self.database.acquire() as connection:
            await _note(connection, self.operation_id, ended)


async def _note(connection: Connection, operation_id: int, ended: Sequence[Ended]) -> None:
    await connection.execute(
        QUERIES["note"],
        operation_id,
        [one.item_id for one in ended],
        [str(one.result) for one in ended],
        [_text(one.before) for one in ended],
        [_text(one.after) for one in ended],
    )


def _ended(work: Stored, outcome: Handled | None) -> Ended:
    """An effect counts as a change; a handler that ignores an event, or was not asked, has none."""
    if outcome is None:
        return Ended(work.event_id, Result.UNFIT, _told(work))
    result = Result.CHANGED if isinstance(outcome, Applied) else Result.UNFIT
    why = {"reason": outcome.reason} if isinstance(outcome, Ignored) else {}
    return Ended(work.event_id, result, _told(work), {"state": work.state, "outcome": word(outcome), **why})


def _told(work: Stored) -> Mapping[str, object]:
    return {"state": work.state, "outcome": work.outcome}


def _text(told: Mapping[str, object] | None) -> str | None:
    return None if told is None else orjson.dumps(told).decode()
