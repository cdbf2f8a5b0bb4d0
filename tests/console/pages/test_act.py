"""Actions: a count first, then a reason, then an operation on record."""

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from console.web.parts import PARTS
from sluice.operations.diff import Change, ColumnChange, Diff, RowChange, TableCount, WebhookChange
from tests.console.serving import Person
from tests.ops.rows import Connection, connected, insert, insert_webhook

Client = TestClient[web.Request, web.Application]
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


async def _dead(connection: Connection, *keys: str, **columns: object) -> None:
    for key in keys:
        await insert_webhook(connection, key, dead_at=NOON, published_at=None, **columns)


async def _done(console: Client) -> None:
    assert console.app is not None
    await console.app[PARTS].runs.wait()


async def _states(connection: Connection) -> dict[str, bool]:
    rows = await connection.fetch(
        "SELECT stripe_event_id, dead_at IS NOT NULL AND NOT processed AS dead FROM webhook_logs"
    )
    return {row["stripe_event_id"]: row["dead"] for row in rows}


async def test_an_action_counts_first_and_changes_nothing(database_url: str, operator: Person) -> None:
    """How many, of which type and state, and the first of them."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", "evt_2")
        page = await operator.get("/act/replay?state=dead&type=payment_intent.*")
        assert "<strong>2</strong> webhooks would be changed" in page.text
        assert "evt_1" in page.text
        assert await connection.fetchval("SELECT count(*) FROM operation") == 0
        assert await _states(connection) == {"evt_1": True, "evt_2": True}


@pytest.mark.parametrize(
    ("verb", "outcome"), [("replay", (False, False, None)), ("write-off", (True, True, "written_off"))]
)
async def test_an_action_is_carried_out_and_on_record(
    database_url: str, console: Client, operator: Person, verb: str, outcome: tuple[object, ...]
) -> None:
    """With the person that the proxy named, the console's login, and the reason."""
    page = f"/act/{verb}?id=evt_1"
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", "evt_2")
        sent = await operator.post(f"/act/{verb}", page, id="evt_1", reason="handler mended", limit="1")
        await _done(console)
        assert sent.path == "/operations/1"
        row = await connection.fetchrow(
            "SELECT processed, dead_at IS NOT NULL, outcome FROM webhook_logs WHERE stripe_event_id = 'evt_1'"
        )
        told = await connection.fetchrow("SELECT verb, person, login, reason, ended_at IS NOT NULL FROM operation")
        others = await _states(connection)
    assert row is not None
    assert tuple(row) == outcome
    assert told is not None
    assert tuple(told) == (verb, "ada@example.com", "console", "handler mended", True)
    assert others["evt_2"]


async def test_an_error_is_resolved_with_a_note(database_url: str, console: Client, operator: Person) -> None:
    """The reason is the note."""
    async with connected(database_url) as connection:
        await insert(connection, "error_logs", severity="error", message="m")
        number = str(await connection.fetchval("SELECT id FROM error_logs"))
        await operator.post("/act/resolve", f"/act/resolve?id={number}", id=number, reason="seen", limit="1")
        await _done(console)
        assert await connection.fetchval("SELECT resolved FROM error_logs")


async def test_waiting_webhooks_are_retried(database_url: str, console: Client, operator: Person) -> None:
    """Those of the filter become due."""
    later = datetime.now(UTC) + timedelta(days=1)
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", published_at=None, outcome="failed", next_attempt_at=later)
        page = "/act/retry?type=payment_intent.*"
        await operator.post("/act/retry", page, type="payment_intent.*", reason="seats are there", limit="1")
        await _done(console)
        assert await connection.fetchval("SELECT next_attempt_at <= now() FROM webhook_logs")


async def test_an_action_takes_no_more_than_were_counted(database_url: str, console: Client, operator: Person) -> None:
    """A webhook that came between the count and the click waits for the next."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", created_at=NOON)
        page = "/act/replay?state=dead&type=*"
        assert 'name="limit" inputmode="numeric" pattern="[0-9]+" required value="1"' in (await operator.get(page)).text
        await _dead(connection, "evt_2", created_at=NOON + timedelta(minutes=1))
        await operator.post("/act/replay", page, state="dead", type="*", reason="why", limit="1")
        await _done(console)
        assert await _states(connection) == {"evt_1": False, "evt_2": True}


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": ""},
        {"reason": "  "},
        {"reason": "a" * 1001},
        {"limit": ""},
        {"limit": "0"},
        {"limit": "all"},
        {"limit": "9" * 40},
        {"rate": "-1"},
        {"id": ""},
        {"state": "processed"},
    ],
)
async def test_an_action_without_sense_is_refused(database_url: str, operator: Person, fields: dict[str, str]) -> None:
    """No reason, no number, no set, or a state that the verb does not take."""
    given = {"id": "evt_1", "reason": "why", "limit": "1", **fields}
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1")
        sent = await operator.post("/act/write-off", "/act/write-off?id=evt_1", **given)
        assert sent.status == 400
        assert await connection.fetchval("SELECT count(*) FROM operation") == 0


async def test_everything_is_no_set(operator: Person) -> None:
    """A filter that narrows nothing down is refused, and so is a verb that there is not."""
    assert (await operator.get("/act/replay")).status == 400
    assert (await operator.get("/act/replay?state=dead")).status == 400
    assert (await operator.get("/act/drop?id=evt_1")).status == 404


async def test_an_operation_is_cancelled_by_a_person(database_url: str, operator: Person) -> None:
    """Its record says who."""
    async with connected(database_url) as connection:
        await connection.execute(
            "INSERT INTO operation (verb, filter, reason, person) VALUES ('replay', '{}', 'why', 'ada');"
            "INSERT INTO operation_item (operation_id, position, item_id) VALUES (1, 1, 'evt_1')"
        )
        await insert_webhook(connection, "evt_1")
        await operator.post("/operations/1/cancel", "/webhooks/evt_1")
        sent = await operator.post("/operations/1/cancel", "/act/replay?id=evt_1")
        assert sent.path == "/operations/1"
        assert await connection.fetchval("SELECT cancelled_by FROM operation") == "ada@example.com"


async def test_an_operation_that_was_cut_short_goes_on(database_url: str, console: Client, operator: Person) -> None:
    """Its items that are not done are done."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1")
        await connection.execute(
            "INSERT INTO operation (verb, filter, reason, person) VALUES ('replay', '{}', 'why', 'ada');"
            "INSERT INTO operation_item (operation_id, position, item_id) VALUES (1, 1, 'evt_1')"
        )
        await operator.post("/operations/1/resume", "/webhooks/evt_1")
        await _done(console)
        assert await _states(connection) == {"evt_1": False}
        again = await operator.post("/operations/1/resume", "/webhooks/evt_1")
    assert again.status == 400


async def test_a_write_off_is_undone(database_url: str, console: Client, operator: Person) -> None:
    """By an operation of its own; what cannot be undone says so."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", body=b"{}")
        await operator.post("/act/write-off", "/act/write-off?id=evt_1", id="evt_1", reason="old", limit="1")
        await _done(console)
        assert await _states(connection) == {"evt_1": False}
        undone = await operator.post("/operations/1/undo", "/webhooks/evt_1", reason="a mistake")
        await _done(console)
        assert undone.path == "/operations/2"
        assert await _states(connection) == {"evt_1": True}
        refused = await operator.post("/operations/2/undo", "/webhooks/evt_1", reason="a mistake")
    assert refused.status == 400


@pytest.mark.parametrize(
    "path", ["/operations/7/cancel", "/operations/x/resume", "/operations/99999999999999999999/undo"]
)
async def test_an_operation_that_is_not_there_is_not_found(database_url: str, operator: Person, path: str) -> None:
    """404."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", body=b"{}")
    assert (await operator.post(path, "/webhooks/evt_1", reason="why")).status == 404


async def test_a_rehearsal_is_asked_for_and_its_answer_shown(database_url: str, operator: Person) -> None:
    """A processor answers by a row; each change of a row is shown as before and after."""
    diff = Diff(
        webhooks=[WebhookChange("evt_1", "charge.succeeded", "dead", "processed", "applied")],
        rows=[
            RowChange(
                "events", ["7"], Change.UPDATED, [ColumnChange("payment_status", "pending", "paid")], label="Gala <1>"
            )
        ],
        tables=[TableCount("loyalty_point", 1, 0, 0)],
        left_out=["mail.send"],
    )
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1")
        asked = await operator.post("/act/replay/rehearse", "/act/replay?id=evt_1", id="evt_1")
        assert asked.path == "/rehearsals/1"
        assert "A processor is asked" in asked.text
        assert await connection.fetchval("SELECT person FROM webhook_rehearsal") == "ada@example.com"
        await connection.execute("UPDATE webhook_rehearsal SET answer = $1, done_at = now()", diff.as_json())
    text = (await operator.get("/rehearsals/1")).text
    for told in ("payment_status", "pending", "paid", "Gala &lt;1&gt;", "loyalty_point", "mail.send"):
        assert told in text
    assert "/act/replay?id=evt_1&amp;state=dead" in text
