"""``sluice pause`` and ``sluice resume``, and what other commands say of what is paused."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
import pytest_asyncio

from tests.ops.cli import cli, cli_json
from tests.ops.rows import Connection, connected, insert_webhook

NOW = datetime.now(UTC)
WHY = ("--reason", "it pays twice", "--by", "ada")


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Connection]:
    """A connection that may do everything."""
    async with connected(database_url) as connection:
        yield connection


@pytest.fixture
def operator_url(role_url: "object") -> str:
    """The address with an operator's login."""
    assert callable(role_url)
    return str(role_url("operator"))


async def _set_aside(db: Connection, key: str, pause_id: int) -> None:
    """As the processor does."""
    row = await db.fetchrow(
        "SELECT webhook_type, stripe_account_id, tenant, processing_attempts FROM webhook_logs"
        " WHERE stripe_event_id = $1",
        key,
    )
    assert row is not None
    paused = await db.fetchval(
        "SELECT is_paused FROM sluice_pause_webhooks(ARRAY[$1::text], ARRAY[$2::int], ARRAY[$3::text],"
        " ARRAY[$4::text], ARRAY[$5::text], ARRAY[$6::bigint])",
        *(key, row["processing_attempts"], row["webhook_type"], row["stripe_account_id"], row["tenant"], pause_id),
    )
    assert paused


async def test_a_pause_is_on_record_with_who_when_and_why(db: Connection, operator_url: str) -> None:
    """And so is its end, each as an operation."""
    assert (await cli("pause", "--all", *WHY, DATABASE_URL=operator_url)).exit_code == 0
    assert (await cli("resume", "--all", "--reason", "mended", DATABASE_URL=operator_url)).exit_code == 0
    told = (await cli_json("operations", "list", DATABASE_URL=operator_url))["operations"]
    assert [(one["verb"], one["reason"], one["filter"]) for one in told] == [
        ("resume", "mended", {"all": ["everything"]}),
        ("pause", "it pays twice", {"all": "everything"}),
    ]
    assert told[1]["person"] == "ada"
    listed = (await cli("operations", "list", DATABASE_URL=operator_url)).output
    assert "all everything  ada: it pays twice" in listed
    assert told[1]["ended_at"]
    row = await db.fetchrow("SELECT began_by, ended_by, ended_at >= began_at AS is_later FROM pause")
    assert row is not None
    assert tuple(row) == (1, 2, True)


async def test_a_dry_run_counts_what_waits_and_changes_nothing(db: Connection, operator_url: str) -> None:
    """By type and state; what is over is not counted, nor what others are paused by."""
    await insert_webhook(db, "evt_1", webhook_type="charge.succeeded")
    await insert_webhook(db, "evt_2", webhook_type="charge.succeeded", published_at=None, outcome="failed")
    await insert_webhook(db, "evt_3", webhook_type="v1.charge.failed")
    await insert_webhook(db, "evt_4", webhook_type="charge.failed", processed=True)
    await insert_webhook(db, "evt_5", webhook_type="invoice.paid", stripe_account_id="acct_1")
    result = await cli("pause", "--type", "charge.*", "--dry-run", DATABASE_URL=operator_url)
    assert "about 3 webhooks" in result.output
    assert "1  failed       charge.succeeded" in result.output
    result = await cli("pause", "--account", "acct_1", "--dry-run", DATABASE_URL=operator_url)
    assert "about 1 webhooks" in result.output
    handler = ("--handler", "processor.payments.ledger.apply_facts")
    result = await cli("pause", *handler, "--dry-run", DATABASE_URL=operator_url)
    assert "about 4 webhooks" in result.output
    assert await db.fetchval("SELECT count(*) FROM pause") == 0


async def test_the_same_is_paused_once(db: Connection, operator_url: str) -> None:
    """The second person is told who was first, and nothing changes."""
    await cli("pause", "--type", "charge.*", *WHY, DATABASE_URL=operator_url)
    result = await cli("pause", "--type", "charge.*", "--reason", "me too", DATABASE_URL=operator_url)
    assert result.exit_code == 1
    assert "ada: it pays twice" in result.output
    assert await db.fetchval("SELECT count(*) FROM operation") == 1


async def test_the_end_of_one_pause_leaves_the_others(db: Connection, operator_url: str) -> None:
    """And says which are in force yet; by its number a pause ends as well."""
    await cli("pause", "--all", *WHY, DATABASE_URL=operator_url)
    await cli("pause", "--account", "acct_1", *WHY, DATABASE_URL=operator_url)
    result = await cli("resume", "--all", "--reason", "mended", DATABASE_URL=operator_url)
    assert "Still in force:" in result.output
    assert "account acct_1" in result.output
    assert (await cli("resume", "2", "--reason", "mended", DATABASE_URL=operator_url)).exit_code == 0
    assert await db.fetchval("SELECT count(*) FROM pause WHERE ended_at IS NULL") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "--all"),
        ("pause", "--all", "--type", "charge.*", "--reason", "why"),
        ("pause", "--type", "", "--reason", "why"),
        ("pause", "--handler", "processor.payments.ledger.aply_facts", "--reason", "why"),
        ("resume", "--reason", "why"),
        ("resume", "1", "--all", "--reason", "why"),
    ],
)
async def test_half_an_order_is_refused(arguments: tuple[str, ...], db: Connection, operator_url: str) -> None:
    """Without a reason, with two targets or none, or with a handler that nobody knows."""
    result = await cli(*arguments, DATABASE_URL=operator_url)
    assert result.exit_code == 2, result.output
    assert await db.fetchval("SELECT count(*) FROM pause") == 0


async def test_an_unknown_handler_is_answered_with_those_that_are_near(operator_url: str) -> None:
    """A typing error at three in the morning pauses nothing in silence."""
    result = await cli("pause", "--handler", "ledger.apply_fact", "--reason", "why", DATABASE_URL=operator_url)
    assert "processor.payments.ledger.apply_facts" in result.output


async def test_what_is_not_paused_is_not_resumed(operator_url: str) -> None:
    """Exit code 1."""
    result = await cli("resume", "--all", "--reason", "mended", DATABASE_URL=operator_url)
    assert (result.exit_code, "No such pause" in result.output) == (1, True)


async def test_a_webhook_that_waits_says_so(db: Connection, operator_url: str) -> None:
    """In ``ls`` as its state; ``show`` and ``why`` say since when, by whom and why."""
    await insert_webhook(db, "evt_1", webhook_type="charge.succeeded")
    await cli("pause", "--type", "charge.*", *WHY, DATABASE_URL=operator_url)
    await _set_aside(db, "evt_1", 1)
    listed = (await cli_json("ls", "--state", "paused", DATABASE_URL=operator_url))["webhooks"]
    assert [(one["item_id"], one["state"]) for one in listed] == [("evt_1", "paused")]
    for command in ("show", "why"):
        result = await cli(command, "evt_1", DATABASE_URL=operator_url)
        told = " ".join(result.output.split())
        assert "by pause 1 (type charge.*) of ada: it pays twice" in told, result.output
        assert "infinity" not in told
        assert "9999" not in told


@pytest.mark.parametrize(
    "target", [("--type", "charge.*"), ("--handler", "processor.payments.ledger.apply_facts"), ("--all",)]
)
async def test_a_webhook_that_is_covered_and_does_not_wait_yet_says_so(
    target: tuple[str, ...], db: Connection, operator_url: str
) -> None:
    """A failed one, say, whose next attempt is not due."""
    await insert_webhook(db, "evt_1", webhook_type="charge.succeeded", published_at=None, outcome="failed")
    await insert_webhook(db, "evt_2", webhook_type="charge.succeeded", processed=True)
    await cli("pause", *target, *WHY, DATABASE_URL=operator_url)
    for command in ("show", "why"):
        assert "as soon as it is its turn" in " ".join(
            (await cli(command, "evt_1", DATABASE_URL=operator_url)).output.split()
        )
        assert "pause 1" not in (await cli(command, "evt_2", DATABASE_URL=operator_url)).output


async def test_what_is_paused_is_shown(db: Connection, operator_url: str) -> None:
    """With the number of webhooks that wait for it, in lines of a terminal's 80 columns."""
    assert "Nothing is paused." in (await cli("pause", DATABASE_URL=operator_url)).output
    await insert_webhook(db, "evt_1", webhook_type="charge.succeeded")
    await cli("pause", "--all", *WHY, DATABASE_URL=operator_url)
    await _set_aside(db, "evt_1", 1)
    output = (await cli("pause", DATABASE_URL=operator_url)).output
    assert "everything" in output
    assert "1 waiting; ada: it pays twice" in output
    assert "1 waiting" in (await cli("resume", "--all", "--dry-run", DATABASE_URL=operator_url)).output
    assert await db.fetchval("SELECT count(*) FROM pause WHERE ended_at IS NULL") == 1


async def test_a_pause_on_record_stays(db: Connection, operator_url: str) -> None:
    """Nobody moves its beginning or takes it away, the owner of the tables neither."""
    await cli("pause", "--all", *WHY, DATABASE_URL=operator_url)
    for statement in (
        "UPDATE pause SET began_at = now()",
        "UPDATE pause SET kind = 'type', value = 'x'",
        "DELETE FROM pause",
        "TRUNCATE pause CASCADE",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(statement)


async def test_a_retry_leaves_what_is_paused(db: Connection, operator_url: str) -> None:
    """Only the end of the pause lets it go."""
    await insert_webhook(db, "evt_1", webhook_type="charge.succeeded")
    await cli("pause", "--all", *WHY, DATABASE_URL=operator_url)
    await _set_aside(db, "evt_1", 1)
    result = await cli("retry", "evt_1", "--reason", "now", DATABASE_URL=operator_url)
    assert (result.exit_code, "left as it is: paused" in result.output) == (1, True)


async def test_status_tells_what_is_paused(db: Connection, operator_url: str) -> None:
    """Beside the backlog, not in it; with who and why."""
    await insert_webhook(db, "evt_1", webhook_type="charge.succeeded")
    await insert_webhook(db, "evt_2", webhook_type="invoice.paid")
    await cli("pause", "--type", "charge.*", *WHY, DATABASE_URL=operator_url)
    await _set_aside(db, "evt_1", 1)
    told = await cli_json("status", DATABASE_URL=operator_url)
    assert (told["backlog"], told["paused"]) == (1, 1)
    assert [(one["kind"], one["value"], one["person"]) for one in told["pauses"]] == [("type", "charge.*", "ada")]
    output = (await cli("status", DATABASE_URL=operator_url)).output
    assert "waiting for the end of a pause" in output
    assert "it pays twice" in output


@pytest.mark.parametrize(("number", "told"), [("1", "sluice resume"), ("2", "sluice pause")])
async def test_a_pause_on_record_is_neither_undone_nor_carried_on(
    number: str, told: str, db: Connection, operator_url: str
) -> None:
    """An operator who tries is told what to do instead; the story of each is shown in words."""
    await cli("pause", "--all", *WHY, DATABASE_URL=operator_url)
    await cli("resume", "--all", "--reason", "mended", DATABASE_URL=operator_url)
    result = await cli("operations", "undo", number, "--reason", "why", DATABASE_URL=operator_url)
    assert (result.exit_code, told in result.output) == (1, True), result.output
    assert (await cli("operations", "resume", number, DATABASE_URL=operator_url)).exit_code == 0
    shown = (await cli("operations", "show", number, DATABASE_URL=operator_url)).output
    assert "is done." in shown
    assert "set       all everything" in shown
