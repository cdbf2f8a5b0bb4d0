"""``sluice ls``, ``show`` and ``operations``, and the options that all verbs share."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tests.ops.cli import cli, cli_json
from tests.ops.rows import Connection, connected, insert, insert_webhook

NOW = datetime.now(UTC)
WHY = ("--reason", "handler mended")


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


async def _dead(db: Connection, *keys: str, **columns: object) -> None:
    for number, key in enumerate(keys):
        at = NOW - timedelta(hours=len(keys) - number)
        await insert_webhook(db, key, **{"dead_at": NOW, "outcome": "failed", "created_at": at, **columns})


async def _states(db: Connection) -> dict[str, bool]:
    return {
        row["stripe_event_id"]: row["is_dead"]
        for row in await db.fetch("SELECT stripe_event_id, dead_at IS NOT NULL AS is_dead FROM webhook_logs ORDER BY 1")
    }


async def test_webhooks_are_listed_by_a_filter(db: Connection, operator_url: str) -> None:
    """The newest first, in lines of a terminal's 80 columns."""
    await _dead(
        db,
        "evt_1RkAAAAAAAAAAAAAAAAAAAAA",
        "evt_1RkBBBBBBBBBBBBBBBBBBBBB",
        webhook_type="charge.dispute.funds_reinstated",
    )
    await _dead(db, "evt_2", last_error="ValueError: " + "x" * 90, created_at=NOW - timedelta(days=1))
    await insert_webhook(db, "evt_3", processed=True)
    result = await cli("ls", "--state", "dead", DATABASE_URL=operator_url)
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        "evt_1RkBBBBBBBBBBBBBBBBBBBBB",
        "evt_1RkAAAAAAAAAAAAAAAAAAAAA",
        "evt_2",
        "ValueError:",
    ]
    assert all(len(line) <= 80 for line in lines)


async def test_a_list_that_is_cut_says_so(db: Connection, operator_url: str) -> None:
    """Nobody takes thirty for all."""
    await _dead(db, "evt_1", "evt_2")
    answer = await cli_json("ls", "--at-most", "1", DATABASE_URL=operator_url)
    assert ([one["item_id"] for one in answer["webhooks"]], answer["has_more"]) == (["evt_2"], True)


async def test_a_webhook_is_shown_with_errors_and_operations(db: Connection, operator_url: str) -> None:
    """Its state in words, and who did what with it."""
    await _dead(db, "evt_1", last_error="ValueError in handler a.b")
    await insert(db, "error_logs", severity="critical", message="it died", stripe_event_id="evt_1")
    await cli("write-off", "evt_1", *WHY, "--by", "ada", DATABASE_URL=operator_url)
    result = await cli("show", "evt_1", DATABASE_URL=operator_url)
    assert "written_off: Died, and an operator decided that it needs no effect." in " ".join(result.stdout.split())
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert "critical (resolved): it died" in result.stdout
    assert "write-off, changed, by ada: handler mended" in result.stdout
    assert (await cli("show", "evt_2", DATABASE_URL=operator_url)).exit_code == 1


async def test_an_error_is_shown_whole(db: Connection, operator_url: str) -> None:
    """With what it keeps of the request, and where it happened."""
    columns = {"message": "it died", "service": "processor", "stripe_event_id": "evt_1"}
    details = {"request_data": '{"handler": "a.b"}', "stack_trace": "Traceback:\n  line 1"}
    await insert(db, "error_logs", severity="critical", **columns, **details)
    result = await cli("show", "1", DATABASE_URL=operator_url)
    for words in (
        "error 1",
        "critical",
        "processor",
        "evt_1",
        "it died",
        '{"handler": "a.b"}',
        "line 1",
        "resolved  no",
    ):
        assert words in result.stdout


async def test_a_dry_run_counts_and_changes_nothing(db: Connection, operator_url: str) -> None:
    """By type and state, with a sample; no operation is on record."""
    await _dead(db, "evt_1", "evt_2")
    await _dead(db, "evt_3", webhook_type="charge.refunded", outcome="unsupported")
    result = await cli("replay", "--outcome", "failed", "--dry-run", DATABASE_URL=operator_url)
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        ["replay would be about 2:", "        2  dead         payment_intent.succeeded", "first: evt_1, evt_2"],
    )
    assert all((await _states(db)).values())
    assert await db.fetchval("SELECT count(*) FROM operation") == 0


@pytest.mark.parametrize("verb", ["retry", "replay", "write-off", "resolve"])
@pytest.mark.parametrize("options", [(), ("--state", "dead")])
async def test_everything_must_be_meant(verb: str, options: tuple[str, ...], operator_url: str) -> None:
    """A filter that narrows nothing down is refused."""
    result = await cli(verb, *options, *WHY, "--yes", DATABASE_URL=operator_url)
    assert result.exit_code == 2


async def test_all_means_all(db: Connection, operator_url: str) -> None:
    """With --all a verb takes every row that it may change."""
    await _dead(db, "evt_1", "evt_2")
    result = await cli("replay", "--all", "--yes", *WHY, DATABASE_URL=operator_url)
    assert result.stdout == "Operation 1 (replay) is done: 2 of 2 changed.\n"
    assert await _states(db) == {"evt_1": False, "evt_2": False}


async def test_a_filtered_set_is_shown_before_it_is_changed(db: Connection, operator_url: str) -> None:
    """Without --yes, and without an answer, nothing happens."""
    await _dead(db, "evt_1")
    result = await cli("replay", "--type", "*", *WHY, DATABASE_URL=operator_url)
    assert result.exit_code == 1
    assert "replay would be about 1:" in result.stdout
    assert await _states(db) == {"evt_1": True}


async def test_a_limit_takes_the_oldest(db: Connection, operator_url: str) -> None:
    """So that one may try a few first."""
    await _dead(db, "evt_1", "evt_2")
    await cli("replay", "--type", "*", "--limit", "1", "--yes", *WHY, DATABASE_URL=operator_url)
    shown = await cli("operations", "show", "1", DATABASE_URL=operator_url)
    assert "set       limit 1; types *" in shown.stdout
    assert await _states(db) == {"evt_1": False, "evt_2": True}


async def test_a_state_that_a_verb_does_not_take_is_refused(db: Connection, operator_url: str) -> None:
    """Nothing that is processed is written off, and no other set is taken instead."""
    await _dead(db, "evt_1")
    result = await cli("write-off", "--type", "*", "--state", "processed", "--yes", *WHY, DATABASE_URL=operator_url)
    assert result.exit_code == 2
    assert await _states(db) == {"evt_1": True}


async def test_a_processed_webhook_is_replayed_if_asked(db: Connection, operator_url: str) -> None:
    """Not by its id alone."""
    await insert_webhook(db, "evt_1", processed=True, outcome="applied", body=b"{}")
    first = await cli("replay", "evt_1", *WHY, DATABASE_URL=operator_url)
    assert first.stdout.splitlines()[0] == "evt_1: left as it is: processed"
    second = await cli("replay", "evt_1", "--state", "processed", *WHY, DATABASE_URL=operator_url)
    assert (second.exit_code, second.stdout.splitlines()[0]) == (0, "evt_1: due now, with all attempts")


async def test_errors_are_resolved(db: Connection, operator_url: str) -> None:
    """By their own id; the reason is the note."""
    await insert(db, "error_logs", severity="error", message="one")
    await insert(db, "error_logs", severity="error", message="another")
    result = await cli("resolve", "1", "--reason", "a test", DATABASE_URL=operator_url)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "1: resolved")
    assert await db.fetchval("SELECT array_agg(id) FROM error_logs WHERE resolved") == [1]


async def test_errors_of_a_webhook_are_resolved_together(db: Connection, operator_url: str) -> None:
    """Its id stands for all of its errors."""
    for message in ("one", "another"):
        await insert(db, "error_logs", severity="error", message=message, stripe_event_id="evt_1")
    result = await cli("resolve", "evt_1", "--reason", "a test", DATABASE_URL=operator_url)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "Operation 1 (resolve) is done: 2 of 2 changed.")
    assert await db.fetchval("SELECT count(*) FROM error_logs WHERE NOT resolved") == 0


async def test_operations_tell_the_story(db: Connection, operator_url: str) -> None:
    """When, which, how far, who and why; and of one each item."""
    await _dead(db, "evt_1")
    await cli("replay", "evt_1", *WHY, "--by", "ada", DATABASE_URL=operator_url)
    listed = await cli("operations", "list", DATABASE_URL=operator_url)
    assert listed.stdout.split()[3:] == ["replay", "done", "1/1", "ada:", "handler", "mended"]
    shown = await cli("operations", "show", "1", DATABASE_URL=operator_url)
    assert "by        ada (login operator)" in shown.stdout
    assert "evt_1  changed  dead -> queued" in shown.stdout
    assert (await cli("operations", "show", "2", DATABASE_URL=operator_url)).exit_code == 1


async def test_an_operation_is_over_when_it_is_cancelled(db: Connection, operator_url: str) -> None:
    """It is not resumed, nor cancelled twice."""
    await db.execute(
        "INSERT INTO operation (verb, filter, reason, person) VALUES ('replay', '{}', 'why', 'ada');"
        "INSERT INTO operation_item (operation_id, position, item_id) VALUES (1, 1, 'evt_1')"
    )
    await _dead(db, "evt_1")
    assert (await cli("operations", "cancel", "1", DATABASE_URL=operator_url)).exit_code == 0
    assert (await cli("operations", "cancel", "1", DATABASE_URL=operator_url)).exit_code == 1
    assert (await cli("operations", "resume", "1", DATABASE_URL=operator_url)).exit_code == 1
    assert await _states(db) == {"evt_1": True}


async def test_a_write_off_is_undone(db: Connection, operator_url: str) -> None:
    """By an operation that names the other; a replay is not."""
    await _dead(db, "evt_1", body=b"{}")
    await cli("write-off", "evt_1", *WHY, DATABASE_URL=operator_url)
    result = await cli("operations", "undo", "1", "--reason", "the wrong one", DATABASE_URL=operator_url)
    assert (result.exit_code, result.stdout) == (0, "Operation 2 (undo) is done: 1 of 1 changed.\n")
    assert await _states(db) == {"evt_1": True}
    assert await db.fetchval("SELECT NOT processed AND outcome = 'failed' FROM webhook_logs")
    shown = await cli("operations", "show", "2", DATABASE_URL=operator_url)
    assert "set       what operation 1 changed" in shown.stdout
    assert "undone    by operation 2" in (await cli("operations", "show", "1", DATABASE_URL=operator_url)).stdout
    await cli("replay", "evt_1", *WHY, DATABASE_URL=operator_url)
    refused = await cli("operations", "undo", "3", *WHY, DATABASE_URL=operator_url)
    assert (refused.exit_code, "cannot be undone" in refused.stderr) == (1, True)


async def test_a_killed_operation_is_resumed(db: Connection, operator_url: str) -> None:
    """SIGKILL in the middle, and again; then every item is changed once."""
    keys = [f"evt_{number:03}" for number in range(90)]
    await _dead(db, *keys)
    command = ("replay", "--type", "*", "--rate", "40", "--yes", *WHY)
    for arguments, done in ((command, 10), (("operations", "resume", "1"), 40)):
        await _kill_after(db, operator_url, arguments, done)
    result = await cli("operations", "resume", "1", DATABASE_URL=operator_url)
    assert result.stdout == "Operation 1 (replay) is done: 90 of 90 changed.\n"
    assert await _states(db) == dict.fromkeys(keys, False)
    assert await db.fetchval("SELECT count(*) FROM error_logs") == 90
    assert await db.fetchval("SELECT count(DISTINCT done_at) FROM operation_item") > 3


async def _kill_after(db: Connection, url: str, arguments: tuple[str, ...], done: int) -> None:
    """Run the command line as a process of its own, and kill it when so many items are done."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sluice.ops",
        *arguments,
        env={"DATABASE_URL": url},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        while await db.fetchval("SELECT count(done_at) FROM operation_item") < done:
            assert process.returncode is None
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.05)
    finally:
        if process.returncode is None:
            process.kill()
    assert await process.wait() == -signal.SIGKILL
    assert await db.fetchval("SELECT count(done_at) FROM operation_item") < 90
