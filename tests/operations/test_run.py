"""An operation changes each row of its set once, whatever happens meanwhile, and keeps a record of it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.inbox.operations import Decision
from sluice.inbox.states import State
from sluice.operations import book, run
from sluice.operations.book import Progress
from sluice.operations.filters import Filter
from sluice.operations.run import Runner
from sluice.operations.verbs import Verb
from sluice.postgres.pool import Connection, Database
from tests.operations.rows import put_error, put_in, states_of

DECISION = Decision("ada", "the handler is mended")
EVERYTHING = Filter(types=["*"])


class Killed(Exception):
    """The process is gone."""


def _ignore(ended: int) -> None:
    del ended


async def _carry_out(connection: Connection, verb: Verb, chosen: Filter = EVERYTHING) -> int:
    operation_id = await book.start(connection, verb, chosen, DECISION)
    await Runner(connection, operation_id, _ignore).run()
    return operation_id


@pytest.mark.parametrize(
    ("verb", "state", "asked", "target"),
    [
        (Verb.RETRY, State.FAILED, (), State.FAILED),
        (Verb.RETRY, State.PARKED, (), State.PARKED),
        (Verb.REPLAY, State.DEAD, (), State.QUEUED),
        (Verb.REPLAY, State.UNSUPPORTED, (), State.QUEUED),
        (Verb.REPLAY, State.PROCESSED, (State.PROCESSED,), State.QUEUED),
        (Verb.REPLAY, State.UNFETCHABLE, (State.UNFETCHABLE,), State.QUEUED),
        (Verb.REPLAY, State.WRITTEN_OFF, (State.WRITTEN_OFF,), State.QUEUED),
        (Verb.WRITE_OFF, State.DEAD, (), State.WRITTEN_OFF),
    ],
)
async def test_a_verb_makes_its_transition_and_keeps_what_was_before_and_after(
    verb: Verb, state: State, asked: tuple[State, ...], target: State, database: Database
) -> None:
    """The person, the reason and the time stand beside it."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", state)
        operation_id = await _carry_out(connection, verb, Filter(types=["*"], states=asked))
        [item] = await book.items_of(connection, operation_id, at_most=9)
        operation = await book.read(connection, operation_id)
        assert await states_of(connection) == {"evt_1": target}
    assert (item.item_id, item.result) == ("evt_1", "changed")
    assert item.before is not None
    assert item.after is not None
    assert (item.before["state"], item.after["state"]) == (str(state), str(target))
    assert operation is not None
    assert (operation.person, operation.reason, operation.login) == ("ada", DECISION.reason, "postgres")
    assert (operation.progress, operation.items, operation.changed) == (Progress.DONE, 1, 1)


@pytest.mark.parametrize("verb", [Verb.RETRY, Verb.REPLAY, Verb.WRITE_OFF])
async def test_what_is_processed_is_left_out_where_nobody_asks_for_it(verb: Verb, database: Database) -> None:
    """A filter that finds it by accident gives no handler a second run."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", State.PROCESSED)
        operation_id = await _carry_out(connection, verb)
        assert await book.items_of(connection, operation_id, at_most=9) == []
        assert await states_of(connection) == {"evt_1": State.PROCESSED}


async def test_a_set_stays_as_it_was_chosen(database: Database) -> None:
    """A webhook that dies after the start is not touched, and one that is alive again is left as it is."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", State.DEAD)
        await put_in(connection, "evt_2", State.DEAD)
        operation_id = await book.start(connection, Verb.WRITE_OFF, EVERYTHING, DECISION)
        await put_in(connection, "evt_3", State.DEAD)
        await connection.execute("UPDATE webhook_logs SET dead_at = NULL WHERE stripe_event_id = 'evt_2'")
        await connection.execute("DELETE FROM webhook_logs WHERE stripe_event_id = 'evt_1'")
        await Runner(connection, operation_id, _ignore).run()
        items = await book.items_of(connection, operation_id, at_most=9)
        assert await states_of(connection) == {"evt_2": State.FAILED, "evt_3": State.DEAD}
    assert {item.item_id: item.result for item in items} == {"evt_1": "missing", "evt_2": "unfit"}


async def test_a_write_off_resolves_the_errors_of_its_webhooks_alone(database: Database) -> None:
    """An error of another webhook, or of none, waits for a person still; the death stays counted."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", State.FAILED)
        await connection.execute("UPDATE webhook_logs SET dead_at = now(), next_attempt_at = NULL")
        await put_error(connection, "evt_1")
        others = {await put_error(connection, "evt_2"), await put_error(connection, None)}
        await _carry_out(connection, Verb.WRITE_OFF)
        unresolved = await connection.fetch("SELECT id::text FROM error_logs WHERE NOT resolved")
        assert {row["id"] for row in unresolved} == others
        assert await connection.fetchval("SELECT count(*) FROM webhook_death") == 1


async def _undo(connection: Connection, operation_id: int) -> book.Operation:
    """Undo an operation, and read how that ended."""
    undone = await book.read(connection, operation_id)
    assert undone is not None
    number = await book.start_undo(connection, undone, Decision("eve", "the wrong ones"))
    await Runner(connection, number, _ignore).run()
    operation = await book.read(connection, number)
    assert operation is not None
    return operation


@pytest.mark.parametrize("state", [State.DEAD, State.UNSUPPORTED])
async def test_a_write_off_is_undone_with_the_errors_that_it_resolved(state: State, database: Database) -> None:
    """The webhook is dead as it was; what a person had resolved before stays resolved; no second death is counted."""
    row = "SELECT to_jsonb(w)::text FROM webhook_logs AS w"
    unresolved = "SELECT id::text FROM error_logs WHERE NOT resolved"
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", state, last_error="'it failed'")
        error = await put_error(connection, "evt_1")
        await put_error(connection, "evt_1", resolved=True)
        before = await connection.fetchval(row)
        operation_id = await _carry_out(connection, Verb.WRITE_OFF)
        operation = await _undo(connection, operation_id)
        undone = await book.read(connection, operation_id)
        assert await connection.fetchval(row) == before
        assert [one["id"] for one in await connection.fetch(unresolved)] == [error]
        assert await connection.fetchval("SELECT count(*) FROM webhook_death") == 0
    assert (operation.undoes, operation.person, operation.changed) == (operation_id, "eve", 1)
    assert undone is not None
    assert undone.undone_by == [operation.id]


async def test_a_resolve_is_undone(database: Database) -> None:
    """The errors wait for a person again; another's stay resolved."""
    async with database.acquire() as connection:
        error = await put_error(connection, None)
        await put_error(connection, None, resolved=True)
        operation = await _undo(connection, await _carry_out(connection, Verb.RESOLVE, Filter(error="failed")))
        unresolved = await connection.fetch("SELECT id::text FROM error_logs WHERE NOT resolved")
    assert ([row["id"] for row in unresolved], operation.changed) == ([error], 1)


async def test_what_was_changed_since_is_not_undone(database: Database) -> None:
    """Somebody replayed it, it died once more, and another wrote it off: that decision stands."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", State.DEAD)
        first = await _carry_out(connection, Verb.WRITE_OFF)
        await _carry_out(connection, Verb.REPLAY, Filter(types=["*"], states=[State.WRITTEN_OFF]))
        assert (await _undo(connection, first)).changed == 0
        assert await states_of(connection) == {"evt_1": State.QUEUED}
        await connection.execute("UPDATE webhook_logs SET dead_at = now()")
        await _carry_out(connection, Verb.WRITE_OFF)
        operation = await _undo(connection, first)
        [item] = await book.items_of(connection, operation.id, at_most=9)
        assert await states_of(connection) == {"evt_1": State.WRITTEN_OFF}
    assert (item.result, operation.progress) == ("unfit", Progress.DONE)


@pytest.mark.parametrize("verb", [Verb.RETRY, Verb.REPLAY])
async def test_what_took_its_course_cannot_be_undone(verb: Verb, database: Database) -> None:
    """Nor an undo itself, nor what may still go on; the refusal says what to do instead."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", State.FAILED if verb is Verb.RETRY else State.DEAD)
        with pytest.raises(book.NotUndoable, match="cannot be undone"):
            await _undo(connection, await _carry_out(connection, verb))
        await put_in(connection, "evt_2", State.DEAD)
        with pytest.raises(book.NotUndoable, match="sluice operations cancel"):
            await _undo(connection, await book.start(connection, Verb.WRITE_OFF, EVERYTHING, DECISION))
        undo = await _undo(connection, await _carry_out(connection, Verb.WRITE_OFF))
        with pytest.raises(book.NotUndoable, match="write off"):
            await _undo(connection, undo.id)


async def test_errors_are_resolved_with_a_note(database: Database) -> None:
    """The reason is the note, and each error is an item."""
    async with database.acquire() as connection:
        error = await put_error(connection, None, message="a crash")
        other = await put_error(connection, None, message="another")
        operation_id = await _carry_out(connection, Verb.RESOLVE, Filter(error="crash"))
        [item] = await book.items_of(connection, operation_id, at_most=9)
        unresolved = await connection.fetch("SELECT id::text FROM error_logs WHERE NOT resolved")
    assert (item.item_id, item.result) == (error, "changed")
    assert [row["id"] for row in unresolved] == [other]


async def test_a_row_that_is_held_is_changed_when_it_is_free(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor that has it at the moment makes no operation miss it."""
    looked = asyncio.Event()
    monkeypatch.setattr(run, "_LOOK_AGAIN_SECONDS", 0.01)
    async with database.acquire() as holder, database.acquire() as connection:
        await put_in(connection, "evt_1", State.DEAD)
        await put_in(connection, "evt_2", State.DEAD)
        operation_id = await book.start(connection, Verb.REPLAY, EVERYTHING, DECISION)
        runner = Runner(connection, operation_id, lambda ended: looked.set() if ended == 1 else None)
        async with holder.transaction():
            await holder.execute("SELECT FROM webhook_logs WHERE stripe_event_id = 'evt_1' FOR UPDATE")
            task = asyncio.create_task(runner.run())
            await looked.wait()
        await task
        operation = await book.read(connection, operation_id)
    assert operation is not None
    assert (operation.progress, operation.changed) == (Progress.DONE, 2)


async def test_a_row_that_is_held_for_ever_is_told_of(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation ends, and says which row it did not get."""
    monkeypatch.setattr(run, "_LOOK_AGAIN_SECONDS", 0)
    async with database.acquire() as holder, database.acquire() as connection:
        await put_in(connection, "evt_1", State.DEAD)
        async with holder.transaction():
            await holder.execute("SELECT FROM webhook_logs FOR UPDATE")
            operation_id = await _carry_out(connection, Verb.REPLAY)
        [item] = await book.items_of(connection, operation_id, at_most=9)
        operation = await book.read(connection, operation_id)
    assert item.result == "held"
    assert operation is not None
    assert operation.progress is Progress.DONE


async def test_a_change_and_its_record_commit_together(database: Database) -> None:
    """A run that dies before its commit has changed nothing and noted nothing."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", State.DEAD)
        operation_id = await book.start(connection, Verb.WRITE_OFF, EVERYTHING, DECISION)
        await connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
            "CREATE TRIGGER refuse BEFORE UPDATE ON operation_item FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        with pytest.raises(asyncpg.RaiseError):
            await Runner(connection, operation_id, _ignore).run()
        assert await states_of(connection) == {"evt_1": State.DEAD}
        assert await connection.fetchval("SELECT count(*) FROM error_logs") == 0


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    states=st.lists(st.sampled_from([State.DEAD, State.UNSUPPORTED, State.PROCESSED, State.FAILED]), max_size=30),
    verb=st.sampled_from([Verb.REPLAY, Verb.WRITE_OFF]),
    kills=st.lists(st.integers(0, 6), max_size=5),
    cancels=st.booleans(),
    late=st.integers(0, 3),
    limit=st.one_of(st.none(), st.integers(1, 10)),
)
async def test_the_books_balance_after_kills_and_cancellations(
    states: list[State], verb: Verb, kills: list[int], cancels: bool, late: int, limit: int | None, database: Database
) -> None:
    """Each item of the set is changed once or not yet; nothing else is changed; each change has its note."""
    async with database.acquire() as connection:
        await connection.execute("TRUNCATE webhook_logs, error_logs")
        for number, state in enumerate(states):
            await put_in(connection, f"evt_{number:02}", state, created_at=f"now() + {number} * interval '1 second'")
        before = await states_of(connection)
        operation_id = await book.start(connection, verb, EVERYTHING, DECISION, rate=8_000, limit=limit)
        for number in range(late):
            await put_in(connection, f"evt_late_{number}", State.DEAD)
        for kill in kills:
            await _run_until(connection, operation_id, kill)
        if cancels:
            assert await book.cancel(connection, operation_id, "ada") or _is_over(
                await book.read(connection, operation_id)
            )
        await Runner(connection, operation_id, _ignore).run()

        after = await states_of(connection)
        operation = await book.read(connection, operation_id)
        items = await book.items_of(connection, operation_id, at_most=99)
        notes = await connection.fetch("SELECT stripe_event_id FROM error_logs")
    chosen = [key for key, state in sorted(before.items()) if state in (State.DEAD, State.UNSUPPORTED)][:limit]
    changed = [item.item_id for item in items if item.result == "changed"]
    target = State.QUEUED if verb is Verb.REPLAY else State.WRITTEN_OFF
    assert [item.item_id for item in items] == chosen
    assert sorted(row["stripe_event_id"] for row in notes) == sorted(changed)
    assert after == {
        **before,
        **{f"evt_late_{number}": State.DEAD for number in range(late)},
        **dict.fromkeys(changed, target),
    }
    assert operation is not None
    assert (operation.items, operation.changed) == (len(chosen), len(changed))
    assert operation.progress is Progress.CANCELLED or changed == chosen


async def _run_until(connection: Connection, operation_id: int, batches: int) -> None:
    """Run one item a batch, and die after so many batches."""
    left = batches

    def count(ended: int) -> None:
        nonlocal left
        del ended
        left -= 1
        if left < 0:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_BATCH", 1)
        try:
            await Runner(connection, operation_id, count).run()
        except Killed:
            return


def _is_over(operation: book.Operation | None) -> bool:
    return operation is not None and operation.progress is not Progress.OPEN


async def test_two_runners_share_an_operation(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """No item is done twice, and both end."""
    monkeypatch.setattr(run, "_BATCH", 2)
    monkeypatch.setattr(run, "_LOOK_AGAIN_SECONDS", 0.01)
    async with database.acquire() as one, database.acquire() as other:
        for number in range(20):
            await put_in(one, f"evt_{number}", State.DEAD)
        operation_id = await book.start(one, Verb.REPLAY, EVERYTHING, DECISION)
        async with asyncio.TaskGroup() as group:
            for connection in (one, other):
                group.create_task(Runner(connection, operation_id, _ignore).run())
        operation = await book.read(one, operation_id)
        notes = await one.fetchval("SELECT count(*) FROM error_logs")
    assert operation is not None
    assert (operation.progress, operation.changed, notes) == (Progress.DONE, 20, 20)


async def test_a_rate_is_kept(database: Database) -> None:
    """So many items a second at most, told by the times on record."""
    async with database.acquire() as connection:
        for number in range(12):
            await put_in(connection, f"evt_{number}", State.DEAD)
        operation_id = await book.start(connection, Verb.REPLAY, EVERYTHING, DECISION, rate=20)
        await Runner(connection, operation_id, _ignore).run()
        span = await connection.fetchval("SELECT max(done_at) - min(done_at) FROM operation_item")
    assert span >= timedelta(seconds=5 / 20)


@pytest.mark.parametrize("verb", Verb)
async def test_an_operators_login_can_do_it(verb: Verb, database: Database, role_url: Callable[[str], str]) -> None:
    """Its own rights are enough, and its name is on record."""
    async with database.acquire() as owner:
        await put_in(owner, "evt_1", State.FAILED if verb is Verb.RETRY else State.DEAD)
        await put_error(owner, "evt_1")
    connection = await asyncpg.connect(role_url("operator"))
    try:
        operation_id = await _carry_out(connection, verb)  # type: ignore[arg-type]  # a plain connection
        operation = await book.read(connection, operation_id)
    finally:
        await connection.close()
    assert operation is not None
    assert (operation.login, operation.changed) == ("operator", 1)
