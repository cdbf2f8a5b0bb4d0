"""
Ask what a retry or a replay would change: a processor runs the handlers, rolls back, and leaves the answer.

    number = await ask(session, Verb.REPLAY, Filter(ids=["evt_1"], states=[State.PROCESSED]), "ada")
    rehearsal = await answer(session, number, within_seconds=30)
    rehearsal.diff

Handlers live in the processor, with the processor's rights; who asks needs those of ``sluice_operator``.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sluice.inbox.operations import AnyConnection
from sluice.operations.diff import Diff
from sluice.operations.filters import PARAMETERS, Filter
from sluice.operations.handlers import HandlerRun
from sluice.operations.verbs import Verb
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "rehearsals.sql")
VERBS: Final = (Verb.RETRY, Verb.REPLAY)
"""Verbs after which handlers run."""
LIMIT: Final = 100
"""Webhooks of one rehearsal, unless who asks says how many; while they run, their payments are locked."""
MOST: Final = 1000
_LOOK_SECONDS: Final = 0.2
_ASK = f"""
INSERT INTO webhook_rehearsal (verb, handler, person, items, found)
SELECT ${PARAMETERS + 1}, ${PARAMETERS + 2}, ${PARAMETERS + 3},
       coalesce((array_agg(item_id ORDER BY created_at, length(id), id))[1:${PARAMETERS + 4}::integer], '{{{{}}}}'),
       count(*)
FROM ({{choice}}) AS choice
RETURNING id
"""  # noqa: S608 - the text is our own


class Stage(StrEnum):
    """How far a rehearsal is."""

    WAITING = "waiting"
    """No processor has begun it."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """There is no answer; ``problem`` says why."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One question, and its answer."""

    id: int
    verb: str
    handler: str | None
    """The one that runs alone; None: all, as the verb would have it."""
    items: Sequence[str]
    """Webhooks that run, in this order."""
    found: int
    """Webhooks that the filter finds; ``items`` are the oldest of them."""
    person: str
    login: str
    asked_at: datetime
    done_at: datetime | None
    starts: int
    diff: Diff | None
    problem: str | None

    @property
    def stage(self) -> Stage:
        """How far it is."""
        if self.done_at is not None:
            return Stage.FAILED if self.diff is None else Stage.DONE
        return Stage.RUNNING if self.starts else Stage.WAITING


async def ask(
    session: AnyConnection,
    verb: Verb,
    chosen: Filter,
    person: str,
    *,
    run: HandlerRun | None = None,
    limit: int = LIMIT,
) -> int:
    """
    Ask what a verb would change; the number of the rehearsal.

    Args:
        verb: one of ``VERBS``.
        run: of one handler by itself, from ``handler_run``; None: of all, as the verb would have it.
        limit: the oldest so many, ``MOST`` at most.
    """
    chosen = chosen if run is None else run.narrowed(chosen)
    choice = verb.rules.choice(chosen) if run is None else run.choice(chosen)
    number: int = await session.fetchval(
        _ASK.format(choice=choice),
        *chosen.parameters,
        str(verb),
        None if run is None else run.handler.name,
        person,
        min(limit, MOST),
    )
    return number


async def read(session: AnyConnection, number: int) -> Rehearsal | None:
    """Read one; None: there is none of this number, or it is more than a day old."""
    rows = await session.fetch(QUERIES["read"], number)
    if not rows:
        return None
    told = dict(rows[0])
    answer = told.pop("answer")
    return Rehearsal(**told, diff=None if answer is None else Diff.from_json(answer))


async def answer(session: AnyConnection, number: int, *, within_seconds: float) -> Rehearsal | None:
    """Wait for the answer of one, for so long; as it is then."""
    clock = asyncio.get_running_loop()
    deadline = clock.time() + within_seconds
    while True:
        rehearsal = await read(session, number)
        if rehearsal is None or rehearsal.done_at is not None or clock.time() > deadline:
            return rehearsal
        await asyncio.sleep(_LOOK_SECONDS)
