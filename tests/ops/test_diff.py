"""``--diff`` and ``replay --handler``: the command asks, a processor does it, and the command shows what came of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from processor.failures.retry_policy import Schedule
from processor.operations.rehearse import Rehearsals
from processor.operations.supervisor import Supervisor
from processor.operations.work import Work
from sluice.operations.diff import Change, ColumnChange, Diff, RowChange, TableCount, WebhookChange
from sluice.operations.rehearsals import Rehearsal
from sluice.ops.operations.diff_screen import lines
from sluice.postgres.pool import Database
from tests.ops.cli import cli, cli_json
from tests.payments.harness import Harness, two_rows
from tests.payments.history import charge, intent, names, refund
from tests.payments.strategies import HARBOUR
from tests.processor.harness import RECORD, columns_of
from tests.processor.operations.shop import TABLES, Stage

POINTS = "tests.processor.operations.shop.Shop.give_points"


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Any]:
    """A connection of the owner's, with a shop's tables and two rows of events."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(TABLES)
    await two_rows(Harness(connection))
    await connection.execute("UPDATE events SET name = 'Harbour lights' WHERE id::text = $1", HARBOUR)
    yield connection
    await connection.close()


@pytest.fixture
def operator_url(role_url: Callable[[str], str]) -> str:
    """The login of an operator, who has no right on the shop's tables."""
    return role_url("operator")


@asynccontextmanager
async def a_processor(url: str) -> AsyncIterator[None]:
    """The work of a processor's process of operations, done in this one."""
    stop = asyncio.Event()
    async with Database.connect(url, application_name="test") as database:
        stage = Stage(database)
        registry = stage.shop.registry()
        await Supervisor(database, registry, stop)._say_what_there_is()
        processor = stage.processor()
        rehearsals = Rehearsals(database, processor, Schedule(), registry)
        work = Work(database, registry, processor, rehearsals, processor.limits, stop)
        with capture_logs():  # they would be taken for the command's output
            running = asyncio.create_task(work.run())
            yield
            stop.set()
            await running


async def record(db: Any, state: str, *events: Any) -> None:
    """Webhooks in this state."""
    await db.executemany(RECORD, [columns_of(one) for one in events])
    await db.execute(f"UPDATE webhook_logs SET published_at = NULL, {state}")  # noqa: S608


async def test_a_diff_is_shown_before_anything_is_changed(
    db: Any, operator_url: str, role_url: Callable[[str], str]
) -> None:
    """By row of events and payment, with the webhooks, the other tables and a line that sums it up."""
    told = [intent("succeeded", 1, metadata=names(HARBOUR)), charge("succeeded", 2), refund("created", 3, amount=3000)]
    await record(db, "dead_at = now(), outcome = 'failed', last_error = 'broken'", *told)
    async with a_processor(role_url("processor")):
        result = await cli("replay", "--all", "--diff", DATABASE_URL=operator_url)
    assert result.exit_code == 0, result.output
    shown = result.stdout
    assert f"~ events {HARBOUR}  Harbour lights\n    payment_status            pending -> paid\n" in shown
    assert "+ payment pi_1  (live:platform)\n" in shown
    assert "Refused in handler" in shown
    assert "other tables, as PostgreSQL counts\n  counter                     1 updated\n" in shown
    assert shown.splitlines()[-2].startswith("Nothing was changed. It would be 1 row of events, 1 payment, 2 facts")
    assert max(map(len, shown.splitlines())) <= 80
    assert await db.fetchval("SELECT count(*) FROM payment") == 0
    assert await db.fetchval("SELECT count(*) FROM webhook_logs WHERE dead_at IS NOT NULL") == 3


async def test_a_diff_for_machines_has_every_column(db: Any, operator_url: str, role_url: Callable[[str], str]) -> None:
    """And says how many the filter finds."""
    await record(db, "dead_at = now()", intent("succeeded", 1), charge("succeeded", 2))
    async with a_processor(role_url("processor")):
        told = await cli_json("replay", "--all", "--diff", "--limit", "1", DATABASE_URL=operator_url)
    assert (told["found"], len(told["items"]), told["problem"]) == (2, 1, None)
    assert {row["table"] for row in told["diff"]["rows"]} == {"payment", "payment_fact"}


async def test_a_handler_is_run_over_what_it_has_not_had(
    db: Any, operator_url: str, role_url: Callable[[str], str]
) -> None:
    """By the processor, while the command looks on; a second time nothing is left."""
    await record(
        db,
        "processed = true, outcome = 'applied', processed_at = now() - interval '1 day'",
        charge("succeeded", 1),
        charge("succeeded", 2),
        intent("succeeded", 3),
    )
    arguments = ("replay", "--handler", POINTS, "--all", "--yes", "--reason", "points are new")
    async with a_processor(role_url("processor")):
        result = await cli(*arguments, DATABASE_URL=operator_url)
        again = await cli(*arguments, DATABASE_URL=operator_url)
    assert result.exit_code == 0, result.output
    assert result.stdout == "Operation 1 (replay) is done: 2 of 2 changed.\n"
    assert again.stdout == "Operation 2 (replay) is done: 0 of 0 changed.\n"
    assert await db.fetchval("SELECT count(*) FROM customer_point") == 2
    shown = await cli("operations", "show", "1", DATABASE_URL=operator_url)
    assert f"  handler   {POINTS}\n" in shown.stdout


async def test_an_unknown_handler_is_answered_with_what_may_be_meant(
    db: Any, operator_url: str, role_url: Callable[[str], str]
) -> None:
    """Nothing is started."""
    async with a_processor(role_url("processor")):
        result = await cli("replay", "--handler", POINTS[:-1], "--all", "--dry-run", DATABASE_URL=operator_url)
    assert result.exit_code == 1
    assert f"Those that there are: {POINTS}" in result.output


@pytest.mark.parametrize("arguments", [("--state", "dead"), ("--state", "failed")])
async def test_a_handler_takes_no_webhook_that_is_not_over(arguments: tuple[str, ...], operator_url: str) -> None:
    """It will have it in its own time."""
    result = await cli("replay", "--handler", POINTS, "--all", *arguments, "--dry-run", DATABASE_URL=operator_url)
    assert result.exit_code == 2
    assert "takes no webhook in such a state" in result.output


LONG = "evt_1rwQ0oAXyXir3D62jFlCrIBv@43e5b255-c863-49f8-8924-8535ec1769c7"
FULL = Diff(
    webhooks=[
        WebhookChange(LONG, "checkout.session.async_payment_succeeded", "dead", "failed", None, "KeyError " * 30)
    ],
    rows=[
        RowChange(
            "events", ["a" * 60], Change.UPDATED, [ColumnChange("note", "x" * 90, {"a": ["y" * 90]})], "Gala " * 30
        ),
        RowChange(
            "payment_fact", ["events", "a" * 60, "stored"], Change.INSERTED, [ColumnChange("kind", None, "stored")]
        ),
        RowChange("invoice", ["live:platform", "in_1"], Change.INSERTED, [ColumnChange("status", None, "paid")]),
        RowChange("payment", ["live:platform", "pi_1"], Change.DELETED, [ColumnChange("status", "paid", None)]),
        RowChange("thin_fetch", [LONG], Change.INSERTED, [ColumnChange("tries", None, 0)]),
    ],
    tables=[TableCount("a_schema.a_table_with_a_name_that_is_quite_long_for_one_line_of_a_screen", 10**9, 2, 3)],
    left_out=["shop.mail.send_a_letter", "shop.sms.send"],
)


def test_every_line_of_a_diff_fits_80_columns() -> None:
    """Whatever the rows hold; what is cut ends with a sign of it."""
    now = datetime(2026, 11, 30, tzinfo=UTC)
    asked = Rehearsal(1, "replay", None, [LONG], 10_000, "ada", "ada", now, now, 1, FULL, None)
    texts = [line.text for line in lines(asked, FULL)]
    assert max(map(len, texts)) <= 80
    assert texts[0] == "A replay of the oldest 1 of 10,000 webhooks would change:"
    assert "Not called, for they act outside PostgreSQL: shop.mail.send_a_letter," in texts
