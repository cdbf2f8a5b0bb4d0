"""Every query that writes ``webhook_logs``, on a row of every state, with the role of the service that runs it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from sluice.inbox import claims, failures, operations, pauses, publications, recorder, thin_events
from sluice.inbox.operations import read_states
from sluice.inbox.states import OPEN, TRANSITIONS, State
from sluice.postgres.pool import Connection, Database
from tests.inbox.rows import ATTEMPT, COMPANION, EVENT, LATER, ROWS, TRIALS, Columns, Trial, Writer, claim, put
from tests.inbox.transitions import WRITERS, listed, writer_of

UNCLAIMED = [transition for transition in TRANSITIONS if not transition.guard.startswith("claimed")]
FOR_ONE_ATTEMPT = [writer_of(transition) for transition in UNCLAIMED if "attempt" in transition.guard]
IN_DUE_TIME = [writer_of(transition) for transition in UNCLAIMED if "due" in transition.guard]
FILES = (claims, failures, operations, pauses, publications, recorder, thin_events)


@pytest_asyncio.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    """A connection that sees and may do everything."""
    async with database.acquire() as connection:
        yield connection


def test_every_query_that_writes_belongs_to_a_transition() -> None:
    """And each transition names a query that is there."""
    writing = {
        f"{file.__name__.rpartition('.')[2]}.{name}"
        for file in FILES
        for name, text in file.QUERIES.items()
        if any(word in text for word in ("UPDATE webhook_logs", "INSERT INTO webhook_logs", *_functions()))
    }
    assert writing == {query for query, _ in WRITERS}
    assert set(TRIALS) == set(WRITERS)


@pytest.mark.parametrize("writer", WRITERS, ids=" as ".join)
async def test_a_query_makes_the_transitions_that_the_page_lists_and_no_other(
    writer: Writer, owner: Connection, role_url: Callable[[str], str]
) -> None:
    """From each state it reaches exactly the states listed; where none is listed, the row stays as it was."""
    seen: dict[State | None, set[State]] = defaultdict(set)
    async with Database.connect(role_url(writer[1]), application_name="test") as database:
        for trial in TRIALS[writer]:
            for state, rows in ROWS.items():
                for columns in rows:
                    seen[state] |= await _try(owner, database, trial, state, columns)
            seen[None] |= await _try_without_row(owner, database, trial)
    assert {source: targets for source, targets in seen.items() if targets} == listed(writer)


@pytest.mark.parametrize("state", State, ids=str)
async def test_a_row_can_be_claimed_while_it_is_open(state: State, database: Database, owner: Connection) -> None:
    """A processor gets no row that is over, nor one that an earlier application left."""
    for columns in ROWS[state]:
        await put(owner, columns)
        assert await _is_claimed(database, ATTEMPT) == (state in OPEN)


@pytest.mark.parametrize("state", [state for state in OPEN if state is not State.PUBLISHED], ids=str)
async def test_a_row_that_is_not_due_cannot_be_claimed(state: State, database: Database, owner: Connection) -> None:
    """It waits until the relay publishes it, or its time has come."""
    for columns in ROWS[state]:
        await put(owner, {**columns, "next_attempt_at": LATER})
        assert not await _is_claimed(database, ATTEMPT)


async def test_a_row_cannot_be_claimed_for_another_attempt(database: Database, owner: Connection) -> None:
    """A stale message costs a comparison."""
    for state in OPEN:
        for columns in ROWS[state]:
            await put(owner, columns)
            assert not await _is_claimed(database, ATTEMPT - 1)


@pytest.mark.parametrize("writer", FOR_ONE_ATTEMPT, ids=" as ".join)
async def test_nothing_is_noted_for_another_attempt(
    writer: Writer, owner: Connection, role_url: Callable[[str], str]
) -> None:
    """A failure that comes late is on record already, or another has the row."""
    async with Database.connect(role_url(writer[1]), application_name="test") as database:
        for trial in TRIALS[writer]:
            for state in OPEN:
                for columns in ROWS[state]:
                    await put(owner, {**columns, **trial.columns})
                    before = await _row(owner)
                    await trial.run(database, ATTEMPT - 1)
                    assert await _row(owner) == before


@pytest.mark.parametrize("writer", IN_DUE_TIME, ids=" as ".join)
async def test_nothing_happens_before_its_time(
    writer: Writer, owner: Connection, role_url: Callable[[str], str]
) -> None:
    """A waiting row is neither published nor begun nor deferred before it is due, and a published one not again."""
    states = [State.PUBLISHED] if _leads_only_from_published(writer) else [*OPEN[1:]]
    async with Database.connect(role_url(writer[1]), application_name="test") as database:
        for trial in TRIALS[writer]:
            for state in states:
                for columns in ROWS[state]:
                    await put(owner, {**columns, "next_attempt_at": LATER})
                    before = await _row(owner)
                    await trial.run(database, ATTEMPT)
                    assert await _row(owner) == before


async def _try(owner: Connection, database: Database, trial: Trial, state: State, columns: Columns) -> set[State]:
    """The state that the row is in afterwards; none where the row is as it was."""
    await put(owner, {**trial.columns, **columns})
    if trial.prepare is not None:
        await trial.prepare(owner)
    before = await _row(owner)
    assert await _state(owner) is state
    await trial.run(database, ATTEMPT)
    after = await _row(owner)
    reached = await _state(owner)
    assert reached is not None
    return {reached} if after != before else set()


async def _try_without_row(owner: Connection, database: Database, trial: Trial) -> set[State]:
    await put(owner, {})
    await owner.execute("DELETE FROM webhook_logs WHERE stripe_event_id <> $1", COMPANION)
    await trial.run(database, ATTEMPT)
    reached = await _state(owner)
    return set() if reached is None else {reached}


async def _is_claimed(database: Database, attempt: int) -> bool:
    async with database.acquire() as tx, tx.transaction():
        is_claimed, _ = await claim(tx, attempt)
        return is_claimed


async def _row(owner: Connection) -> str | None:
    row: str | None = await owner.fetchval(
        "SELECT to_jsonb(w)::text FROM webhook_logs AS w WHERE stripe_event_id = $1", EVENT.stripe_event_id
    )
    return row


async def _state(owner: Connection) -> State | None:
    return (await read_states(owner, [EVENT.stripe_event_id])).get(EVENT.stripe_event_id)


def _leads_only_from_published(writer: Writer) -> bool:
    return set(listed(writer)) == {State.PUBLISHED}


def _functions() -> set[str]:
    return {transition.function for transition in TRANSITIONS if transition.function is not None} | {"sluice_carry_out"}
