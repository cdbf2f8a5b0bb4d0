"""Operations of people: who and why are on record, and rows in other hands are left alone."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from sluice.inbox.operations import Decision, read_states, replay, replay_ended, retry, write_off
from sluice.inbox.states import State
from sluice.postgres.pool import Connection, Database
from tests.inbox.rows import COMPANION, EVENT, ROWS, Columns, put

Operation: TypeAlias = Callable[[Connection, list[str], Decision], Awaitable[object]]
DECISION = Decision("ada", "the handler is mended: 100 % sure")
_DEAD: Columns = {**ROWS[State.DEAD][0], "last_error": "'it failed'", "solo_starts": "2", "parked_at": "now()"}
OPERATIONS = {
    "Retried": (retry, State.FAILED),
    "Replayed": (replay, State.DEAD),
    "Written off": (write_off, State.DEAD),
    "Replayed after its end": (replay_ended, State.PROCESSED),
}


@pytest.mark.parametrize("word", OPERATIONS)
async def test_who_and_why_are_kept_beside_the_webhook(word: str, database: Database) -> None:
    """One note for each row that was changed, none for another, and no open error for an operator to look at."""
    operation, state = OPERATIONS[word]
    async with database.acquire() as session:
        await put(session, ROWS[state][0])
        assert await operation(session, [EVENT.stripe_event_id, COMPANION, "evt_unknown"], DECISION) == {"evt_1"}
        notes = await session.fetch("SELECT stripe_event_id, severity, message, resolved FROM error_logs")
    message = f"{word.removesuffix(' after its end')} by ada: the handler is mended: 100 % sure"
    assert [tuple(note) for note in notes] == [("evt_1", "info", message, True)]


@pytest.mark.parametrize("role", ["sluice_operator", "sluice_migrator"])
@pytest.mark.parametrize("word", OPERATIONS)
async def test_an_operator_needs_no_more_than_these_roles(word: str, role: str, database: Database) -> None:
    """The rights of operators, or of who migrates, are enough."""
    operation, state = OPERATIONS[word]
    async with database.acquire() as session, session.transaction():
        await put(session, ROWS[state][0])
        await session.execute(f"SET LOCAL ROLE {role}")
        assert await operation(session, [EVENT.stripe_event_id], DECISION) == {EVENT.stripe_event_id}


async def test_the_note_is_undone_with_the_change(database: Database) -> None:
    """A record of a change that was rolled back would be a lie."""
    async with database.acquire() as session:
        await put(session, _DEAD)
        undo = session.transaction()
        await undo.start()
        await replay(session, [EVENT.stripe_event_id], DECISION)
        await undo.rollback()
        assert await session.fetchval("SELECT count(*) FROM error_logs") == 0
        assert await read_states(session, [EVENT.stripe_event_id]) == {EVENT.stripe_event_id: State.DEAD}


@pytest.mark.parametrize("word", OPERATIONS)
async def test_a_locked_row_is_left_alone(word: str, database: Database) -> None:
    """No operator waits for a processor, nor makes one wait."""
    operation, state = OPERATIONS[word]
    async with database.acquire() as holder, database.acquire() as session:
        await put(holder, ROWS[state][0])
        async with holder.transaction():
            await holder.execute("SELECT FROM webhook_logs FOR UPDATE")
            assert await operation(session, [EVENT.stripe_event_id], DECISION) == set()


async def test_a_replayed_row_is_due_as_if_never_tried(database: Database) -> None:
    """All attempts begin again, and it runs together with others."""
    async with database.acquire() as session:
        await put(session, _DEAD)
        await replay(session, [EVENT.stripe_event_id], DECISION)
        row = await session.fetchrow(
            "SELECT processing_attempts, solo_starts, parked_at, outcome, next_attempt_at <= now() AS is_due "
            "FROM webhook_logs WHERE stripe_event_id = $1",
            EVENT.stripe_event_id,
        )
    assert row is not None
    assert tuple(row) == (0, 0, None, None, True)


async def test_a_row_that_is_written_off_keeps_what_is_known_of_its_death(database: Database) -> None:
    """When it died and why stay in the row."""
    async with database.acquire() as session:
        await put(session, _DEAD)
        await write_off(session, [EVENT.stripe_event_id], DECISION)
        row = await session.fetchrow(
            "SELECT processed, outcome, last_error, dead_at IS NOT NULL, processed_at IS NOT NULL FROM webhook_logs "
            "WHERE stripe_event_id = $1",
            EVENT.stripe_event_id,
        )
    assert row is not None
    assert tuple(row) == (True, "written_off", "it failed", True, True)


async def test_a_retry_never_makes_a_row_wait_longer(database: Database) -> None:
    """One that was due before keeps its place in the queue."""
    async with database.acquire() as session:
        await put(session, ROWS[State.FAILED][0])
        due = "SELECT next_attempt_at FROM webhook_logs WHERE stripe_event_id = $1"
        before = await session.fetchval(due, EVENT.stripe_event_id)
        await retry(session, [EVENT.stripe_event_id], DECISION)
        assert await session.fetchval(due, EVENT.stripe_event_id) == before
