"""Operations of people: who and why are on record, and rows in other hands are left alone."""

from typing import NamedTuple

import asyncpg
import pytest

from sluice.inbox.operations import Decision, carry_out, read_states
from sluice.inbox.states import State, state_expression
from sluice.postgres.pool import Connection, Database
from tests.inbox.rows import EVENT, ROWS, Columns, operate, put

DECISION = Decision("ada", "the handler is mended: 100 % sure")
_DEAD: Columns = {**ROWS[State.DEAD][0], "last_error": "'it failed'", "solo_starts": "2", "parked_at": "now()"}


class Deed(NamedTuple):
    """A verb, the state of a row that it takes, and the word for it."""

    verb: str
    state: State
    word: str

    async def do(self, session: Connection, *ids: str) -> object:
        """Do it to rows of these ids."""
        asked = [self.state] if self.state is State.PROCESSED else []
        return await operate(session, self.verb, ids, DECISION, states=asked)


DEEDS = [
    Deed("retry", State.FAILED, "Retried"),
    Deed("replay", State.DEAD, "Replayed"),
    Deed("write-off", State.DEAD, "Written off"),
    Deed("replay", State.PROCESSED, "Replayed"),
]


@pytest.mark.parametrize("deed", DEEDS)
async def test_who_and_why_are_kept_beside_the_webhook(deed: Deed, database: Database) -> None:
    """One note for each row that was changed, none for another, and no open error for an operator to look at."""
    async with database.acquire() as session:
        await put(session, ROWS[deed.state][0])
        assert await deed.do(session, EVENT.stripe_event_id, "evt_unknown") == {"evt_1"}
        notes = await session.fetch("SELECT stripe_event_id, severity, message, resolved FROM error_logs")
        number = await session.fetchval("SELECT max(id) FROM operation")
    message = f"{deed.word} by ada: the handler is mended: 100 % sure (operation {number})"
    assert [tuple(note) for note in notes] == [("evt_1", "info", message, True)]


@pytest.mark.parametrize("deed", DEEDS)
async def test_an_operator_needs_no_more_than_its_role(deed: Deed, database: Database) -> None:
    """The rights of operators are enough."""
    async with database.acquire() as session, session.transaction():
        await put(session, ROWS[deed.state][0])
        await session.execute("SET LOCAL ROLE sluice_operator")
        assert await deed.do(session, EVENT.stripe_event_id) == {EVENT.stripe_event_id}


async def test_a_migrator_is_no_operator(database: Database) -> None:
    """It changes tables; who changes webhooks has a login for that."""
    async with database.acquire() as session, session.transaction():
        await session.execute("SET LOCAL ROLE sluice_migrator")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await carry_out(session, 1, after=0, at_most=1, gives_up=False)


async def test_postgresql_and_the_page_call_a_state_the_same(database: Database) -> None:
    """The function that tells what an operation keeps has the text of the states."""
    body = "SELECT prosrc FROM pg_proc WHERE proname = 'sluice_tell_items'"
    async with database.acquire() as session:
        assert " ".join(state_expression().split()) in " ".join((await session.fetchval(body)).split())


async def test_the_note_is_undone_with_the_change(database: Database) -> None:
    """A record of a change that was rolled back would be a lie."""
    async with database.acquire() as session:
        await put(session, _DEAD)
        undo = session.transaction()
        await undo.start()
        await operate(session, "replay", [EVENT.stripe_event_id], DECISION)
        await undo.rollback()
        assert await session.fetchval("SELECT count(*) FROM error_logs") == 0
        assert await read_states(session, [EVENT.stripe_event_id]) == {EVENT.stripe_event_id: State.DEAD}


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_locked_row_is_left_alone(deed: Deed, database: Database) -> None:
    """No operator waits for a processor, nor makes one wait."""
    async with database.acquire() as holder, database.acquire() as session:
        await put(holder, ROWS[deed.state][0])
        async with holder.transaction():
            await holder.execute("SELECT FROM webhook_logs FOR UPDATE")
            assert await deed.do(session, EVENT.stripe_event_id) == set()


async def test_a_replayed_row_is_due_as_if_never_tried(database: Database) -> None:
    """All attempts begin again, and it runs together with others."""
    async with database.acquire() as session:
        await put(session, _DEAD)
        await operate(session, "replay", [EVENT.stripe_event_id], DECISION)
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
        await operate(session, "write-off", [EVENT.stripe_event_id], DECISION)
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
        await operate(session, "retry", [EVENT.stripe_event_id], DECISION)
        assert await session.fetchval(due, EVENT.stripe_event_id) == before
