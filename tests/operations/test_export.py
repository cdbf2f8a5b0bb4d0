"""An export gives each webhook of a filter once, in a stable order, and nothing in it is obeyed by what reads it."""

import base64
import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.inbox import recorder
from sluice.inbox.states import State
from sluice.operations import export as exporting
from sluice.operations.export import COLUMNS, Exported, Place, csv_writer, export, json_line
from sluice.operations.filters import Filter
from sluice.postgres.pool import Connection, Database
from sluice.runtime.printable import printable_lines
from tests.inbox.rows import EVENT, Delivered
from tests.operations.rows import DAY, put_in
from tests.operations.test_filters import FINDS_IT, FINDS_NOTHING, THE_ONE

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\x1b[2J", "\x9b31m", "a\nb", 'a"b', "a,b", "\u202e"]
)


async def exported(connection: Connection, chosen: Filter, **options: Any) -> list[Exported]:
    """All pages."""
    return [one async for page in export(connection, chosen, **options) for one in page]


@pytest.mark.parametrize("fields", FINDS_IT, ids=str)
async def test_an_export_gives_what_the_filter_finds(fields: dict[str, Any], database: Database) -> None:
    """By each of its fields."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_9", State.DEAD, **THE_ONE)
        assert [one.item_id for one in await exported(connection, Filter(**fields))] == ["evt_9"]


@pytest.mark.parametrize("fields", FINDS_NOTHING, ids=str)
async def test_an_export_gives_nothing_that_nearly_fits(fields: dict[str, Any], database: Database) -> None:
    """As little as any other verb."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_9", State.DEAD, **THE_ONE)
        assert await exported(connection, Filter(**fields)) == []


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seconds=st.lists(st.integers(0, 3), max_size=20),
    page=st.integers(1, 7),
    cut=st.integers(0, 20),
    since=st.integers(-1, 3),
)
async def test_an_export_that_was_cut_short_goes_on_where_it_was(
    seconds: list[int], page: int, cut: int, since: int, database: Database
) -> None:
    """However many webhooks came in the same moment, each is given once, in the same order."""
    chosen = Filter(since=DAY + timedelta(seconds=since))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "_PAGE", page)
        async with database.acquire() as connection:
            await connection.execute("TRUNCATE webhook_logs")
            for number, second in enumerate(seconds):
                at = f"'2026-11-23 00:00+00'::timestamptz + {second} * interval '1 second'"
                await put_in(connection, f"evt_{number}", State.PROCESSED, created_at=at)
            whole = await exported(connection, chosen)
            head = whole[:cut]
            rest = await exported(connection, chosen, after=head[-1].place if head else None)
    due = sorted((second, number) for number, second in enumerate(seconds) if second >= since)
    assert [one.item_id for one in whole] == [f"evt_{number}" for _, number in due]
    assert [*head, *rest] == whole


@pytest.mark.parametrize("body", [b'{"id": "evt_1",  "a": 1}', '{"é": "\x9b"}'.encode(), b"\xff\xfe", None])
async def test_a_body_comes_out_byte_for_byte(body: bytes | None, database: Database) -> None:
    """As text where it is text; in CSV always as base64."""
    column = "NULL" if body is None else f"'\\x{body.hex()}'"
    async with database.acquire() as connection:
        await put_in(connection, "evt_1", State.PROCESSED, body=column)
        [one] = await exported(connection, Filter(), with_bodies=True)
        [without] = await exported(connection, Filter())
    document = orjson.loads(json_line(one, with_body=True))
    if "body_base64" in document:
        assert base64.b64decode(document["body_base64"]) == body
    else:
        assert (document["body"] and document["body"].encode()) == body
    [_, row] = csv.reader(io.StringIO(csv_writer(with_bodies=True)([one])))
    assert base64.b64decode(row[-1]) == (body or b"")
    assert without.body is None
    assert "body" not in orjson.loads(json_line(without, with_body=False))


async def test_a_body_comes_from_its_partition(database: Database, role_url: Callable[[str], str]) -> None:
    """An operator's login may read it through the function alone."""
    async with database.acquire() as connection:
        await recorder.record_new(connection, [Delivered(EVENT)], within_seconds=5)
        assert await connection.fetchval("SELECT body IS NULL AND body_id IS NOT NULL FROM webhook_logs")
    async with Database.connect(role_url("operator"), application_name="test") as own, own.acquire() as connection:
        [one] = await exported(connection, Filter(), with_bodies=True)
    assert one.body == EVENT.body


@given(text=TEXTS)
def test_no_cell_is_computed_and_nothing_reaches_a_terminal(text: str) -> None:
    """Whatever a sender or a handler put into a text; a reader of JSON gets it back as it was."""
    values = dict.fromkeys(COLUMNS, text)
    one = Exported("evt_1", Place(DAY, "1"), values, None)
    line = json_line(one, with_body=False)
    assert orjson.loads(line)["error"] == text
    written = csv_writer(with_bodies=False)([one])
    assert printable_lines(line) == line
    assert printable_lines(written.replace("\r\n", "")) == written.replace("\r\n", "")
    [head, row] = csv.reader(io.StringIO(written, newline=""))
    assert head == list(COLUMNS)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_the_head_of_a_csv_file_stands_there_once() -> None:
    """Not above each page."""
    one = Exported("evt_1", Place(DAY, "1"), dict.fromkeys(COLUMNS, "x"), None)
    write = csv_writer(with_bodies=False)
    rows = list(csv.reader(io.StringIO(write([one]) + write([one]))))
    assert [row[0] for row in rows] == ["id", "x", "x"]
