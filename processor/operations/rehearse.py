"""
Run handlers for real in a transaction that is rolled back, and tell which rows it would have changed.

What runs is what a retry or a replay would run: the operator's transition, then claim, handlers and settling of
``processor.worker``, with a savepoint in the place of each commit.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from processor.failures.classify import Blame, blame
from processor.failures.error_summary import describe
from processor.failures.retry_policy import Schedule
from processor.operations.halving import Interrupted, run_in_parts
from processor.operations.one_handler import run_handler
from processor.operations.rows import (
    MOST_EVENTS_ROWS,
    Tally,
    changes,
    count_written,
    find_keys,
    joined,
    other_tables,
    read_events_table,
    read_rows,
)
from processor.operations.stored import Stored, read_stored
from processor.outcome import Locked, word
from processor.worker.transaction import Processor, open_transaction
from sluice.failures import Defect
from sluice.inbox.rehearsals import rehearse_replay, rehearse_retry
from sluice.inbox.states import State
from sluice.operations.diff import Diff, RowChange, TableCount, WebhookChange
from sluice.operations.verbs import Verb
from sluice.postgres.pool import DATABASE_ERRORS, Connection, Database
from sluice.postgres.sql import load_queries
from sluice.registry import Registry, name_of
from sluice.rehearsal import rehearsing

QUERIES = load_queries(__file__, "rehearse.sql")
_CHECK_CONSTRAINTS: Final = "SET CONSTRAINTS ALL IMMEDIATE"
"""Deferred constraints are looked at when a transaction commits; this one never does."""
SECONDS: Final = 30.0
"""Time of a whole rehearsal; its locks are held as long."""
_TOGETHER: Final = 50
_TRIES: Final = 4
"""Each webhook that hangs costs one, and the first try, in company, another."""
_PROBLEMATIC: Final = {str(state) for state in (State.PARKED, State.UNSUPPORTED, State.DEAD, State.UNFETCHABLE)}


@dataclass(frozen=True, slots=True)
class Asked:
    """One rehearsal as it was asked for."""

    id: int
    verb: Verb
    handler: str | None
    items: Sequence[str]
    person: str
    starts: int
    """Runs of it that have begun, this one too."""
    at_item: str | None = None
    """The webhook that ran last, in a run that did not end."""


@dataclass(frozen=True)
class Rehearsals:
    """Answers what a retry or a replay would change."""

    database: Database
    processor: Processor
    schedule: Schedule
    registry: Registry

    async def answer(self, asked: Asked, note_item: Callable[[str], Awaitable[None]]) -> Diff:
        """
        Run what is asked, and roll it back.

        Args:
            note_item: told of each webhook before it runs, where each runs alone: it may end this process.

        Raises:
            TimeoutError: it took too long.
            DatabaseUnavailable: PostgreSQL is away.
            Defect: the connection was lost again and again.
        """
        hung: dict[str, str] = {}
        is_alone = asked.starts > 1
        for _ in range(_TRIES):
            try:
                async with self._transaction() as (connection, observer):
                    run = _Run(
                        self._processor_of(asked), self.schedule, connection, observer, asked, hung, is_alone, note_item
                    )
                    return replace(await run.diff(), left_out=await self._left_out(asked, observer))
            except Interrupted as error:
                if is_alone:
                    hung.update(dict.fromkeys(error.event_ids, describe(error.__cause__ or error)))
                is_alone = True
        raise Defect(f"the connection was lost while the handlers of {', '.join(sorted(hung))} ran")

    def _processor_of(self, asked: Asked) -> Processor:
        """The processor with the handlers alone that may be called."""
        registry = self.registry.only(
            lambda handler: not self.registry.acts_outside(handler) and asked.handler in (None, name_of(handler))
        )
        return replace(self.processor, dispatcher=replace(self.processor.dispatcher, registry=registry))

    async def _left_out(self, asked: Asked, observer: Connection) -> Sequence[str]:
        outside = self.registry.only(self.registry.acts_outside)
        names = {
            name_of(handler)
            for stored in await read_stored(observer, asked.items)
            for handler in outside.handlers_of(stored.event)
        }
        return sorted(names if asked.handler is None else names & {asked.handler})

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[tuple[Connection, Connection]]:
        """A transaction that is rolled back, and a connection beside it."""
        async with (
            asyncio.timeout(SECONDS),
            self.database.acquire() as observer,
            self.database.acquire() as connection,
        ):
            transaction = connection.transaction(isolation="read_committed")
            await transaction.start()
            try:
                yield connection, observer
            finally:
                with suppress(*DATABASE_ERRORS):
                    await transaction.rollback()


@dataclass
class _Run:
    """One transaction of a rehearsal."""

    processor: Processor
    schedule: Schedule
    connection: Connection
    observer: Connection
    asked: Asked
    hung: Mapping[str, str]
    """Webhooks whose handlers took their connection with them, and how."""
    is_alone: bool
    note_item: Callable[[str], Awaitable[None]]
    _failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    """State that an attempt that failed would leave, and why it failed."""
    _outcomes: dict[str, str] = field(default_factory=dict)
    """Of a handler that runs by itself."""
    _parts: int = 0

    async def diff(self) -> Diff:
        """Run, and compare."""
        before = await read_stored(self.observer, self.asked.items)
        changed = await self._transition(before)
        tally = Tally(self.connection)
        await tally.begin()
        with rehearsing():
            for part in self._plan(await self._read(changed)):
                await run_in_parts(part, lambda works: self._run(works, tally), self._fail)
            await self.connection.execute(_CHECK_CONSTRAINTS)
        rows, tables = await self._compare(tally)
        return Diff(await self._webhooks(before, changed), rows, tables)

    async def _transition(self, before: Sequence[Stored]) -> Collection[str]:
        """Make the operator's transition; ids of the webhooks that were changed. A handler by itself needs none."""
        if self.asked.handler is not None:
            return self.asked.items
        change = rehearse_retry if self.asked.verb is Verb.RETRY else rehearse_replay
        return await change(self.connection, [stored.event_id for stored in before])

    async def _read(self, changed: Collection[str]) -> Sequence[Stored]:
        items = [item for item in self.asked.items if item in changed and item not in self.hung]
        return await read_stored(self.connection, items, patience_seconds=self.processor.patience.patience_seconds)

    def _plan(self, works: Sequence[Stored]) -> Iterator[Sequence[Stored]]:
        """Parts that run together; a suspect runs alone, as in a processor."""
        together = [work for work in works if not work.is_suspect]
        size = 1 if self.is_alone else _TOGETHER
        yield from (together[first : first + size] for first in range(0, len(together), size))
        yield from ([work] for work in works if work.is_suspect)

    async def _run(self, works: Sequence[Stored], tally: Tally) -> None:
        self._parts += 1
        if self.is_alone:
            await self.note_item(works[0].event_id)
        written = await count_written(self.connection)
        try:
            async with asyncio.timeout(self.processor.limits.transaction_seconds), open_transaction(self.connection):
                await self._handle(works)
                await self._check_constraints()
        except Exception as error:
            if _is_lost(self.connection):
                raise Interrupted([work.event_id for work in works]) from error
            await tally.undone(written)
            raise

    async def _handle(self, works: Sequence[Stored]) -> None:
        if self.asked.handler is not None:
            dispatcher, limits = self.processor.dispatcher, self.processor.limits
            answers = await run_handler(dispatcher, works, self.connection, limits)
            self._outcomes.update({event_id: word(outcome) for event_id, outcome in answers.items()})
            return
        results = await self.processor.process_in(self.connection, works, isolated=works[0].is_suspect)
        held = {event_id for event_id, result in results.items() if isinstance(result, Locked)}
        self._failed.update({event_id: (str(State.QUEUED), "another transaction holds its row") for event_id in held})

    async def _check_constraints(self) -> None:
        """Look at deferred constraints as a commit does, and leave them deferred."""
        savepoint = self.connection.transaction()
        await savepoint.start()
        await self.connection.execute(_CHECK_CONSTRAINTS)
        await savepoint.rollback()

    async def _fail(self, work: Stored, error: Exception) -> None:
        state = State.FAILED
        if blame(error) in (Blame.COLLISION, Blame.CONTENTION):
            state = State.POSTPONED
        elif blame(error) is Blame.HOPELESS or self._is_last(work):
            state = State.DEAD
        self._failed[work.event_id] = str(state), describe(error)

    def _is_last(self, work: Stored) -> bool:
        return work.is_last_look if work.was_parked else self.schedule.is_last(work.attempt + 1)

    async def _webhooks(self, before: Sequence[Stored], changed: Collection[str]) -> Sequence[WebhookChange]:
        after = {stored.event_id: stored for stored in await read_stored(self.connection, self.asked.items)}
        return [self._webhook(stored, after[stored.event_id], changed) for stored in before]

    def _webhook(self, before: Stored, after: Stored, changed: Collection[str]) -> WebhookChange:
        event_id, event_type = before.event_id, before.event.type
        if event_id in self.hung:
            return WebhookChange(event_id, event_type, before.state, str(State.FAILED), None, self.hung[event_id])
        if event_id in self._failed:
            state, problem = self._failed[event_id]
            state = before.state if self.asked.handler else state
            return WebhookChange(event_id, event_type, before.state, state, None, problem)
        if event_id not in changed:
            problem = f"left as it is: {self.asked.verb} takes none that is {before.state}, or another holds it"
            return WebhookChange(event_id, event_type, before.state, before.state, before.outcome, problem)
        outcome = self._outcomes.get(event_id) if self.asked.handler else after.outcome
        problem_then = after.problem if after.state in _PROBLEMATIC else None
        return WebhookChange(event_id, event_type, before.state, after.state, outcome, problem_then)

    async def _compare(self, tally: Tally) -> tuple[Sequence[RowChange], Sequence[TableCount]]:
        written = await tally.read()
        keys = joined(
            [
                await find_keys(self.observer, self.asked.items),
                await find_keys(self.connection, self.asked.items),
            ]
        )
        events = await read_events_table(self.observer)
        is_whole = "events" in written and events.about <= MOST_EVENTS_ROWS
        first = await read_rows(self.observer, keys, events, all_events=is_whole)
        after = await read_rows(self.connection, keys, events, all_events=is_whole)
        again = await read_rows(self.observer, keys, events, all_events=is_whole)
        rows = changes(first, after, again)
        explained = None if is_whole else self._parts * len(keys.events_ids)
        return rows, other_tables(written, rows, explained=explained)


def _is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except DATABASE_ERRORS:  # the pool has taken the dead connection back already
        return True
