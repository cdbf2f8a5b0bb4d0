"""The record of operations: start one, read it, cancel it, write down what became of its items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg
import orjson

from sluice.failures import Rejected
from sluice.inbox.operations import AnyConnection, Decision
from sluice.operations.filters import PARAMETERS, Filter
from sluice.operations.handlers import HandlerRun
from sluice.operations.verbs import Verb
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "book.sql")
_FREEZE = f"""
INSERT INTO operation_item (operation_id, position, item_id)
SELECT ${PARAMETERS + 1}::bigint, row_number() OVER (ORDER BY created_at, length(id), id), item_id
FROM (SELECT * FROM ({{choice}}) AS choice ORDER BY created_at, length(id), id LIMIT ${PARAMETERS + 2}) AS chosen
"""  # noqa: S608 - the text is our own
_COUNT = f"""
SELECT kind, state, count(*) AS count FROM (
    SELECT * FROM ({{choice}}) AS choice ORDER BY created_at, length(id), id LIMIT ${PARAMETERS + 1}
) AS chosen
GROUP BY kind, state ORDER BY count DESC, kind, state
"""  # noqa: S608
_SAMPLE = f"""
SELECT item_id FROM ({{choice}}) AS choice ORDER BY created_at, length(id), id LIMIT ${PARAMETERS + 1}
"""  # noqa: S608
_SAMPLE_SIZE = 5
UNDO = "undo"
_UNDOABLE = (Verb.WRITE_OFF, Verb.RESOLVE)
_FINAL = {
    Verb.RETRY: "A retry cannot be undone: it only brought attempts forward.",
    Verb.REPLAY: "A replay cannot be undone: handlers have run, or will. `sluice write-off` ends what dies again.",
    UNDO: "An undo cannot be undone: write off, or resolve, again.",
    "pause": "`sluice resume` ends a pause.",
    "resume": "What a pause let go takes its course. `sluice pause` begins another one.",
}


class NotUndoable(Rejected):
    """The operation cannot be undone; the text says why."""

    code = "not_undoable"


class Result(StrEnum):
    """Fate of an item."""

    CHANGED = "changed"
    UNFIT = "unfit"
    """Its state is none that the verb takes, when its turn came."""
    HELD = "held"
    """Another transaction held the row, for all the time that was waited."""
    MISSING = "missing"
    FAILED = "failed"
    """The handler that was run over it failed; ``after`` says how."""


class Progress(StrEnum):
    """How far an operation is."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows of one kind are in one state."""

    kind: str | None
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class Preview:
    """Set that an operation would be about."""

    counted: Sequence[Counted]
    sample: Sequence[str]

    @property
    def count(self) -> int:
        """All rows together."""
        return sum(part.count for part in self.counted)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, as it is on record."""

    id: int
    verb: str
    handler: str | None
    """The handler that it runs by itself, in a processor; None: webhooks take their course again."""
    filter: Mapping[str, object]
    reason: str
    person: str
    login: str
    rate: int | None
    started_at: datetime
    ended_at: datetime | None
    cancelled_at: datetime | None
    cancelled_by: str | None
    undoes: int | None
    """Number of the operation that it undoes."""
    undone_by: Sequence[int]
    """Numbers of the operations that undo it."""
    items: int
    done: int
    changed: int
    failed: int
    latest_at: datetime | None
    """When the newest item was done."""

    @property
    def progress(self) -> Progress:
        """How far it is."""
        if self.ended_at is not None:
            return Progress.DONE
        return Progress.OPEN if self.cancelled_at is None else Progress.CANCELLED


@dataclass(frozen=True, slots=True)
class Item:
    """One row that an operation is about."""

    item_id: str
    done_at: datetime | None
    result: str | None
    before: Mapping[str, object] | None
    after: Mapping[str, object] | None


async def preview(
    session: AnyConnection, verb: Verb, chosen: Filter, *, limit: int | None = None, run: HandlerRun | None = None
) -> Preview:
    """Count what an operation would be about, and name the first."""
    chosen = chosen if run is None else run.narrowed(chosen)
    choice = verb.rules.choice(chosen) if run is None else run.choice(chosen)
    counted = await session.fetch(_COUNT.format(choice=choice), *chosen.parameters, limit)
    size = _SAMPLE_SIZE if limit is None else min(limit, _SAMPLE_SIZE)
    sample = await session.fetch(_SAMPLE.format(choice=choice), *chosen.parameters, size)
    return Preview([Counted(**row) for row in counted], [row["item_id"] for row in sample])


async def start(
    session: AnyConnection,
    verb: Verb,
    chosen: Filter,
    decision: Decision,
    *,
    rate: int | None = None,
    limit: int | None = None,
    run: HandlerRun | None = None,
) -> int:
    """
    Write down the decision, and freeze the set that it is about; the operation's number.

    Args:
        run: of one handler by itself, from ``handler_run``; a processor carries it out.
    """
    handler = None if run is None else run.handler.name
    choice = verb.rules.choice(chosen) if run is None else run.choice(chosen)
    found_by = chosen if run is None else run.narrowed(chosen)
    bound = {} if limit is None else {"limit": str(limit)}
    asked = orjson.dumps({**chosen.as_json(), **bound}).decode()
    async with session.transaction(isolation="read_committed"):
        operation_id: int = await session.fetchval(
            QUERIES["start"], str(verb), asked, decision.reason, decision.actor, rate, handler, None
        )
        await session.execute(_FREEZE.format(choice=choice), *found_by.parameters, operation_id, limit)
    return operation_id


async def start_undo(session: AnyConnection, undone: Operation, decision: Decision, *, rate: int | None = None) -> int:
    """
    Write down that an operation is to be undone, for what it changed; the number of the new operation.

    Raises:
        NotUndoable: nothing of its kind is undone, or it may still go on.
    """
    if why := why_not_undoable(undone):
        raise NotUndoable(why)
    async with session.transaction(isolation="read_committed"):
        operation_id: int = await session.fetchval(
            QUERIES["start"], UNDO, "{}", decision.reason, decision.actor, rate, None, undone.id
        )
        await session.execute(QUERIES["freeze_changed"], operation_id, undone.id)
    return operation_id


def why_not_undoable(operation: Operation) -> str | None:
    """Say why an operation cannot be undone; None: it can."""
    if why := _FINAL.get(operation.verb):
        return why
    if operation.verb not in _UNDOABLE:
        return f"{operation.verb} cannot be undone."
    if operation.progress is Progress.OPEN:
        return f"It may still go on: `sluice operations cancel {operation.id}` first."
    return None


async def rate_of(session: AnyConnection, operation_id: int) -> int | None:
    """Items a second that an operation may change; None: as fast as it goes."""
    rate: int | None = await session.fetchval(QUERIES["rate"], operation_id)
    return rate


async def newest(session: AnyConnection, *, at_most: int) -> Sequence[Operation]:
    """Read the newest operations, the newest first."""
    return [_operation(row) for row in await session.fetch(QUERIES["newest"], at_most)]


async def read(session: AnyConnection, operation_id: int) -> Operation | None:
    """Read one operation; None: there is none of this number."""
    rows = await session.fetch(QUERIES["read"], operation_id)
    return _operation(rows[0]) if rows else None


async def items_of(session: AnyConnection, operation_id: int, *, at_most: int) -> Sequence[Item]:
    """Read the first items of an operation."""
    return [_item(row) for row in await session.fetch(QUERIES["items_of"], operation_id, at_most)]


async def cancel(session: AnyConnection, operation_id: int, person: str) -> bool:
    """Let no further item be changed; whether it was still open."""
    return bool(await session.fetchval(QUERIES["cancel"], operation_id, person))


def _operation(row: asyncpg.Record) -> Operation:
    return Operation(**{**row, "filter": _document(row["filter"])})


def _item(row: asyncpg.Record) -> Item:
    return Item(**{**row, "before": _document(row["before"]), "after": _document(row["after"])})


def _document(text: object) -> object:
    return orjson.loads(text) if isinstance(text, str) else text
