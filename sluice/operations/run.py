"""Carry an operation out: each item's change and its record commit together, so that a killed run can go on."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import orjson

from sluice.inbox.operations import AnyConnection, Decision
from sluice.inbox.states import State
from sluice.operations.book import QUERIES, Result
from sluice.operations.filters import Filter
from sluice.operations.verbs import Change, Verb

_BATCH: Final = 100
_LOOKS: Final = 40
"""How often the items are gone through whose rows another transaction holds."""
_LOOK_AGAIN_SECONDS: Final = 0.25
_BATCHES_A_SECOND: Final = 4
"""So many make a rate that is even enough."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Work of an operation, as it is on record."""

    changes: Mapping[str, Change]
    """By the state that a row may be in."""
    look: str
    hold: str
    decision: Decision
    rate: int | None

    @property
    def batch(self) -> int:
        return _BATCH if self.rate is None else min(_BATCH, max(1, self.rate // _BATCHES_A_SECOND))


@dataclass(frozen=True, slots=True)
class _Ended:
    """Fate of an item."""

    item_id: str
    result: Result
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    """One transaction of a run."""

    taken: int = 0
    ended: int = 0
    rate: int | None = None


class Runner:
    """Carries one operation out, batch by batch; several may work on the same one."""

    def __init__(self, session: AnyConnection, operation_id: int, on_progress: Callable[[int], None]) -> None:
        """
        Work on an operation.

        Args:
            on_progress: called after each commit with the number of items that it ended.
        """
        self._session = session
        self._id = operation_id
        self._on_progress = on_progress
        self._position = 0
        self._looks = 0

    async def run(self) -> None:
        """Go on until every item is done, or the operation is cancelled, or others have the rest in hand."""
        clock = asyncio.get_running_loop()
        while self._looks <= _LOOKS:
            began = clock.time()
            step = await self._commit_batch()
            if step is None:
                return
            if step.taken:
                self._on_progress(step.ended)
                pause = 0.0 if step.rate is None else step.ended / step.rate
                await asyncio.sleep(max(0.0, began + pause - clock.time()))
            elif await self._session.fetch(QUERIES["end"], self._id):
                return
            else:
                self._position, self._looks = 0, self._looks + 1
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _commit_batch(self) -> _Step | None:
        """End some items in one transaction; None: the operation is over."""
        async with self._session.transaction(isolation="read_committed"):
            rows = await self._session.fetch(QUERIES["open"], self._id)
            if not rows:
                return None
            plan = self._plan(rows[0])
            taken = await self._session.fetch(QUERIES["take"], self._id, self._position, plan.batch)
            ended = await self._end_items(plan, [row["item_id"] for row in taken])
        if taken:
            self._position = taken[-1]["position"]
        return _Step(len(taken), ended, plan.rate)

    def _plan(self, row: asyncpg.Record) -> _Plan:
        rules = Verb(row["verb"]).rules
        asked = orjson.loads(row["filter"]).get("states", ())
        states = {str(state) for state in rules.states(Filter(states=[State[name.upper()] for name in asked]))}
        return _Plan(
            changes={
                state: change for state, change in rules.changes.items() if state in states or not rules.of_itself
            },
            look=rules.look,
            hold=rules.hold,
            decision=Decision(row["person"], f"{row['reason']} (operation {self._id})"),
            rate=row["rate"],
        )

    async def _end_items(self, plan: _Plan, ids: Sequence[str]) -> int:
        """Change what may be changed, and note what became of each; a row in other hands keeps for later."""
        known = await self._look(plan, ids)
        held = {row["item_id"] for row in await self._session.fetch(plan.hold, ids)}
        before = await self._look(plan, held)
        changed = await self._change(plan, before)
        after = await self._look(plan, changed)
        ended = [
            *(_Ended(one, Result.CHANGED, before[one], after[one]) for one in changed),
            *(_Ended(one, Result.UNFIT, told) for one, told in before.items() if one not in changed),
            *(_Ended(one, Result.MISSING) for one in ids if one not in known),
            *(_Ended(one, Result.HELD, known[one]) for one in known.keys() - before.keys() if self._looks == _LOOKS),
        ]
        await self._note(ended)
        return len(ended)

    async def _change(self, plan: _Plan, before: Mapping[str, str]) -> Collection[str]:
        by_change: dict[Change, list[str]] = defaultdict(list)
        for item_id, told in before.items():
            if change := plan.changes.get(orjson.loads(told)["state"]):
                by_change[change].append(item_id)
        changed: set[str] = set()
        for change, ids in by_change.items():
            changed.update(await change(self._session, ids, plan.decision))
        return changed

    async def _look(self, plan: _Plan, ids: Collection[str]) -> Mapping[str, str]:
        """Read what is told of these rows, as JSON."""
        return {row["item_id"]: row["told"] for row in await self._session.fetch(plan.look, list(ids))}

    async def _note(self, ended: Sequence[_Ended]) -> None:
        await self._session.execute(
            QUERIES["note"],
            self._id,
            [one.item_id for one in ended],
            [str(one.result) for one in ended],
            [one.before for one in ended],
            [one.after for one in ended],
        )
