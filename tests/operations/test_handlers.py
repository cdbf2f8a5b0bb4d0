"""A handler is run by itself over the webhooks that it would have had, and has not had."""

from collections.abc import Sequence

import pytest

from sluice.inbox.operations import Decision
from sluice.inbox.states import State
from sluice.operations import book
from sluice.operations.filters import Filter
from sluice.operations.handlers import HandlerRun, handler_run
from sluice.operations.run import Runner
from sluice.operations.verbs import Verb
from sluice.postgres.pool import Connection, Database
from tests.operations.rows import put_in, states_of

NAME = "shop.points"
BODY = {"body": "'{}'"}
LONG_AGO = {**BODY, "processed_at": "now() - interval '1 day'"}
DECISION = Decision("ada", "points are new")


async def known(connection: Connection, *, again: bool = False, organisers: Sequence[str] = ()) -> HandlerRun:
    """A handler that a processor has had for an hour, and the run of it."""
    await connection.execute(
        "INSERT INTO webhook_handler (name, types, organiser_types, acts_outside, first_seen_at)"
        " VALUES ($1, $2, $3, false, now() - interval '1 hour') ON CONFLICT DO NOTHING",
        NAME,
        ["test.effect", "charge.succeeded"],
        list(organisers),
    )
    run = await handler_run(connection, NAME, again=again)
    assert run is not None
    return run


async def found(connection: Connection, run: HandlerRun, chosen: Filter | None = None) -> Sequence[str]:
    """Webhooks that the run would be over."""
    return (await book.preview(connection, Verb.REPLAY, chosen or Filter(types=["*"]), run=run)).sample


async def test_only_processed_webhooks_of_its_types_are_taken(database: Database) -> None:
    """A webhook that is not processed yet goes to all handlers in its own time."""
    async with database.acquire() as connection:
        for state in State:
            await put_in(connection, f"evt_{state}", state, **LONG_AGO)
        await put_in(connection, "evt_other", State.PROCESSED, **{**LONG_AGO, "webhook_type": "'charge.refunded'"})
        await put_in(connection, "evt_bare", State.PROCESSED, **{**LONG_AGO, "body": "NULL"})
        run = await known(connection)
        assert await found(connection, run) == ["evt_processed"]
        assert await found(connection, run, Filter(types=["charge.*"])) == []
        assert await found(connection, run, Filter(types=["*"], states=[State.WRITTEN_OFF])) == ["evt_written_off"]


@pytest.mark.parametrize(("organisers", "takes"), [([], False), (["test.effect"], True)])
async def test_an_organisers_webhook_goes_to_handlers_that_take_them(
    organisers: Sequence[str], takes: bool, database: Database
) -> None:
    """As when it came."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_1@7", State.PROCESSED, **{**LONG_AGO, "tenant": "'7'"})
        run = await known(connection, organisers=organisers)
        assert (await found(connection, run) == ["evt_1@7"]) is takes


async def test_webhooks_that_it_has_had_are_left_out_unless_asked_for_again(database: Database) -> None:
    """Processed since it was there, or given to it by an earlier operation; one that failed then is taken."""
    async with database.acquire() as connection:
        for name in ("evt_1", "evt_2", "evt_3"):
            await put_in(connection, name, State.PROCESSED, **LONG_AGO)
        await put_in(connection, "evt_new", State.PROCESSED, **{**BODY, "processed_at": "now()"})
        await book.start(connection, Verb.REPLAY, Filter(types=["*"]), DECISION, run=await known(connection))
        await connection.execute(
            "UPDATE operation_item SET done_at = now(),"
            " result = CASE item_id WHEN 'evt_1' THEN 'changed' ELSE 'failed' END WHERE item_id IN ('evt_1', 'evt_2')"
        )
        assert await found(connection, await known(connection)) == ["evt_2", "evt_3"]
        assert await found(connection, await known(connection, again=True)) == ["evt_1", "evt_2", "evt_3", "evt_new"]


async def test_the_command_line_leaves_such_an_operation_to_a_processor(database: Database) -> None:
    """Without the handler it would be another replay."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", State.PROCESSED, **LONG_AGO)
        number = await book.start(
            connection, Verb.REPLAY, Filter(states=[State.PROCESSED]), DECISION, run=await known(connection)
        )
        await Runner(connection, number, lambda _: None).run()
        operation = await book.read(connection, number)
        assert await states_of(connection) == {"evt_1": State.PROCESSED}
    assert operation is not None
    assert (operation.handler, operation.items, operation.done) == (NAME, 1, 0)


async def test_an_unknown_handler_cannot_be_run(database: Database) -> None:
    """Nobody has it."""
    async with database.acquire() as connection:
        assert await handler_run(connection, "shop.typo") is None
