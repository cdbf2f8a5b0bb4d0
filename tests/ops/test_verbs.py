"""``sluice retry``, ``replay``, ``write-off``, ``resolve`` and ``operations``."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tests.ops.cli import cli, cli_json
from tests.ops.rows import Connection, connected, insert_webhook

NOW = datetime.now(UTC)


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


async def test_a_dead_webhook_is_replayed(db: Connection, operator_url: str) -> None:
    """It is due at once, as if never tried, and the decision is on record."""
    await insert_webhook(db, "evt_1", dead_at=NOW, outcome="failed", processing_attempts=16)
    result = await cli("replay", "evt_1", "--reason", "handler mended", DATABASE_URL=operator_url)
    assert (result.exit_code, result.stdout) == (
        0,
        "evt_1: due now, with all attempts\nOperation 1 (replay) is done: 1 of 1 changed.\n",
    )
    row = await db.fetchrow("SELECT processing_attempts, dead_at FROM webhook_logs")
    assert row is not None
    assert tuple(row) == (0, None)


async def test_what_could_not_be_fetched_is_fetched_again_on_demand(db: Connection, operator_url: str) -> None:
    """Say, after the reconciler's key was given the right that it lacked."""
    ended = {"outcome": "unfetchable", "processed": True, "processed_at": NOW, "published_at": None}
    await insert_webhook(db, "evt_1", webhook_type="v1.charge.failed", body=b"{}", **ended)
    choice = ("--type", "v1.*", "--state", "unfetchable")
    result = await cli("replay", *choice, "--reason", "the key has the right", "--yes", DATABASE_URL=operator_url)
    assert result.exit_code == 0, result.output
    assert await db.fetchval("SELECT outcome IS NULL AND NOT processed FROM webhook_logs")


async def test_why_tells_of_the_decision(db: Connection, operator_url: str) -> None:
    """The story of a webhook names the person who replayed it, and the reason, months later too."""
    await insert_webhook(db, "evt_1", dead_at=NOW, outcome="failed", processing_attempts=16)
    await cli("replay", "evt_1", "--reason", "handler mended", DATABASE_URL=operator_url)
    [webhook] = (await cli_json("why", "evt_1", DATABASE_URL=operator_url))["webhooks"]
    assert [(error["severity"], error["resolved"]) for error in webhook["errors"]] == [("info", True)]
    assert webhook["errors"][0]["message"].endswith(": handler mended (operation 1)")


async def test_a_waiting_webhook_is_retried(db: Connection, operator_url: str) -> None:
    """Its next attempt is now; the attempts that it had count on."""
    later = NOW + timedelta(hours=1)
    await insert_webhook(db, "evt_1", outcome="failed", processing_attempts=3, published_at=None, next_attempt_at=later)
    result = await cli("retry", "evt_1", "--reason", "handler mended", DATABASE_URL=operator_url)
    assert (result.exit_code, result.stdout) == (0, "evt_1: due now\nOperation 1 (retry) is done: 1 of 1 changed.\n")
    assert await db.fetchval("SELECT processing_attempts FROM webhook_logs WHERE next_attempt_at <= now()") == 3


async def test_a_dead_webhook_is_written_off(db: Connection, operator_url: str) -> None:
    """Health no longer counts it as dead."""
    await insert_webhook(db, "evt_1", dead_at=NOW, outcome="failed")
    result = await cli("write-off", "evt_1", "--reason", "booked by hand", DATABASE_URL=operator_url)
    assert (result.exit_code, result.stdout) == (
        0,
        "evt_1: written off\nOperation 1 (write-off) is done: 1 of 1 changed.\n",
    )
    assert await db.fetchval("SELECT outcome FROM webhook_logs WHERE processed") == "written_off"


async def test_what_cannot_be_changed_is_told_apart(db: Connection, operator_url: str) -> None:
    """Each webhook has its own answer, and the exit code says that one was left as it is."""
    await insert_webhook(db, "evt_1", dead_at=NOW, outcome="failed")
    await insert_webhook(db, "evt_2", processed=True, outcome="applied")
    ids = ("evt_1", "evt_2", "evt_3")
    result = await cli("write-off", *ids, "--reason", "booked by hand", DATABASE_URL=operator_url)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "evt_1: written off",
        "evt_2: left as it is: processed",
        "evt_3: left as it is: no such webhook",
        "Operation 1 (write-off) is done: 1 of 1 changed.",
    ]


@pytest.mark.parametrize("arguments", [("evt_1",), ("evt_1", "--reason", " "), ("--reason", "why")])
async def test_an_operation_needs_webhooks_and_a_reason(arguments: tuple[str, ...], operator_url: str) -> None:
    """Nobody has to guess later why a row was changed, and no empty list means all."""
    result = await cli("replay", *arguments, DATABASE_URL=operator_url)
    assert result.exit_code == 2


async def test_many_bodies_are_not_read_without_a_word(db: Connection, operator_url: str) -> None:
    """For a customer alone; not where few are left to read."""
    await db.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, processed, body)"
        " SELECT 'evt_' || n, 'a.b', true, '{}' FROM generate_series(1, 10001) AS n"
    )
    asked = ("replay", "--customer", "cus_1", "--dry-run")
    told = await cli(*asked, "--state", "processed", DATABASE_URL=operator_url)
    assert "Reading 10,001 bodies for --customer" in told.stderr
    assert (await cli(*asked, DATABASE_URL=operator_url)).stderr == ""
