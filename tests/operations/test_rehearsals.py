"""A rehearsal is asked for by a row, and its answer is read from there."""

import pytest

from sluice.inbox.states import State
from sluice.operations.diff import Change, ColumnChange, Diff, RowChange, TableCount, WebhookChange
from sluice.operations.filters import Filter
from sluice.operations.rehearsals import MOST, Stage, answer, ask, read
from sluice.operations.verbs import Verb
from sluice.postgres.pool import Database
from tests.operations.rows import put_in

DIFF = Diff(
    webhooks=[WebhookChange("evt_1", "a.b", "dead", "processed", "applied")],
    rows=[
        RowChange("payment", ["live:platform", "pi_1"], Change.INSERTED, [ColumnChange("status", None, "paid")]),
        RowChange("events", ["7"], Change.UPDATED, [ColumnChange("more", {"a": [1, None]}, True)], "gala"),
    ],
    tables=[TableCount("loyalty_point", 1, 0, 2)],
    left_out=["shop.mail"],
)


async def test_a_rehearsal_is_of_the_oldest_webhooks_of_its_filter(database: Database) -> None:
    """It says how many there are, and what dies later is not among them."""
    async with database.acquire() as connection:
        for number in range(3):
            await put_in(connection, f"evt_{number}", State.DEAD)
        await put_in(connection, "evt_9", State.PROCESSED)
        number = await ask(connection, Verb.REPLAY, Filter(types=["*"]), "ada", limit=2)
        await put_in(connection, "evt_4", State.DEAD)
        rehearsal = await read(connection, number)
    assert rehearsal is not None
    assert (rehearsal.items, rehearsal.found) == (["evt_0", "evt_1"], 3)
    assert (rehearsal.verb, rehearsal.handler, rehearsal.person, rehearsal.login) == ("replay", None, "ada", "postgres")
    assert (rehearsal.stage, rehearsal.diff) == (Stage.WAITING, None)


async def test_a_filter_that_finds_nothing_makes_an_empty_rehearsal(database: Database) -> None:
    """And one that is too large is cut."""
    async with database.acquire() as connection:
        number = await ask(connection, Verb.RETRY, Filter(ids=["evt_none"]), "ada", limit=MOST * 2)
        rehearsal = await read(connection, number)
        assert await read(connection, number + 1) is None
    assert rehearsal is not None
    assert (rehearsal.items, rehearsal.found) == ([], 0)


@pytest.mark.parametrize(
    ("columns", "stage"),
    [
        ("starts = 1", Stage.RUNNING),
        ("starts = 1, done_at = now(), answer = $1", Stage.DONE),
        ("starts = 1, done_at = now(), problem = 'it took too long'", Stage.FAILED),
    ],
)
async def test_an_answer_is_read_as_it_was_given(columns: str, stage: Stage, database: Database) -> None:
    """Each value of each column too; who waits gets what there is when the time is up."""
    arguments = [DIFF.as_json()] if "$1" in columns else []
    async with database.acquire() as connection:
        number = await ask(connection, Verb.REPLAY, Filter(types=["*"]), "ada")
        await connection.execute(f"UPDATE webhook_rehearsal SET {columns}", *arguments)  # noqa: S608
        rehearsal = await answer(connection, number, within_seconds=0)
    assert rehearsal is not None
    assert rehearsal.stage is stage
    assert rehearsal.diff == (DIFF if stage is Stage.DONE else None)
