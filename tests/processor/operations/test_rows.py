"""Rows are compared as they were and would be; what others commit meanwhile is left out."""

from collections.abc import Mapping

import pytest

from processor.operations.rows import Counts, Place, Tally, changes, count_written, other_tables
from sluice.operations.diff import Change, ColumnChange, JsonValue, RowChange, TableCount
from sluice.postgres.pool import Database

ROW: Place = ("payment", ("live:platform", "pi_1"))
Rows = Mapping[Place, Mapping[str, JsonValue]]
OPEN: Rows = {ROW: {"status": "processing", "rank": 3}}
PAID: Rows = {ROW: {"status": "paid", "rank": 3}}
STATUS = ColumnChange("status", "processing", "paid")


@pytest.mark.parametrize(
    ("before", "after", "again", "told"),
    [
        (OPEN, PAID, OPEN, (Change.UPDATED, [STATUS])),
        (OPEN, OPEN, OPEN, None),
        ({}, OPEN, {}, (Change.INSERTED, [ColumnChange("status", None, "processing"), ColumnChange("rank", None, 3)])),
        (OPEN, {}, OPEN, (Change.DELETED, [ColumnChange("status", "processing", None), ColumnChange("rank", 3, None)])),
        (OPEN, PAID, PAID, None),  # another transaction did that
        ({}, OPEN, OPEN, None),
        (OPEN, {}, {}, None),
    ],
)
def test_a_row_is_told_where_the_transaction_alone_changed_it(
    before: Rows, after: Rows, again: Rows, told: tuple[Change, list[ColumnChange]] | None
) -> None:
    """It holds the lock of what it wrote, so nobody else can have."""
    expected = [] if told is None else [RowChange("payment", ["live:platform", "pi_1"], *told)]
    assert changes(before, after, again) == expected


def test_tables_that_are_told_in_full_are_not_counted() -> None:
    """But for events, where more was written than is known."""
    written = {"payment": Counts(1, 1, 0), "events": Counts(0, 5, 1), "point": Counts(2), "seen": Counts()}
    known = [RowChange("events", ["7"], Change.UPDATED, [])]
    assert other_tables(written, known, explained=None) == [TableCount("point", 2, 0, 0)]
    assert other_tables(written, known, explained=3) == [TableCount("events", 0, 2, 1), TableCount("point", 2, 0, 0)]


async def test_a_tally_counts_this_transaction_alone_and_nothing_that_was_undone(database: Database) -> None:
    """PostgreSQL's counts of a session lag, and count what a savepoint took back."""
    await database.execute("CREATE TABLE point (n int)")
    async with database.acquire() as connection:
        await connection.execute("INSERT INTO point VALUES (1), (2), (3)")
        async with connection.transaction():
            tally = Tally(connection)
            await tally.begin()
            await connection.execute("UPDATE point SET n = 0 WHERE n = 1")
            written = await count_written(connection)
            undone = connection.transaction()
            await undone.start()
            await connection.execute("DELETE FROM point; INSERT INTO point VALUES (4)")
            await undone.rollback()
            await tally.undone(written)
            await connection.execute("INSERT INTO point VALUES (5)")
            assert {table: counts for table, counts in (await tally.read()).items() if any(counts)} == {
                "point": Counts(1, 1, 0)
            }
