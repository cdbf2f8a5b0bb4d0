"""``sluice export`` and ``sluice watch`` as a person runs them."""

import asyncio
import csv
import io
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import orjson
import pytest
import pytest_asyncio

from tests.ops.cli import cli, cli_json
from tests.ops.rows import Connection, connected, insert, insert_webhook
from tests.waiting import until

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


@asynccontextmanager
async def running(url: str, *arguments: str) -> AsyncIterator[Process]:
    """Run ``sluice`` as a process of its own; it is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sluice.ops", *arguments),
        env={"DATABASE_URL": url, "COLUMNS": "120"},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_of(process: Process) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().rstrip("\n")


async def test_webhooks_are_exported_as_lines_of_json(db: Connection, operator_url: str) -> None:
    """The oldest first, with the body where it is asked for; how many they are stands on stderr."""
    await insert_webhook(db, "evt_2", body=b'{"a":  1}', tenant="7")
    await insert_webhook(db, "evt_1", created_at=NOW - timedelta(days=1))
    result = await cli("export", "--bodies", DATABASE_URL=operator_url)
    rows = [orjson.loads(line) for line in result.stdout.splitlines()]
    assert [(row["id"], row["body"], row["organiser"]) for row in rows] == [
        ("evt_1", None, None),
        ("evt_2", '{"a":  1}', "7"),
    ]
    assert result.stderr == "2 webhooks.\n"


async def test_webhooks_are_exported_as_csv(db: Connection, operator_url: str) -> None:
    """By a filter, without bodies."""
    await insert_webhook(db, "evt_1", last_error="=HYPERLINK(1)", dead_at=NOW)
    await insert_webhook(db, "evt_2", processed=True)
    result = await cli("export", "--format", "csv", "--state", "dead", DATABASE_URL=operator_url)
    [row] = csv.DictReader(io.StringIO(result.stdout))
    assert (row["id"], row["error"], "body_base64" in row) == ("evt_1", "'=HYPERLINK(1)", False)


async def test_an_export_goes_on_after_a_webhook(db: Connection, operator_url: str) -> None:
    """The one that the last run ended with."""
    for number in range(3):
        await insert_webhook(db, f"evt_{number}", created_at=NOW + timedelta(seconds=number))
    result = await cli("export", "--after", "evt_1", DATABASE_URL=operator_url)
    assert [orjson.loads(line)["id"] for line in result.stdout.splitlines()] == ["evt_2"]
    assert (await cli("export", "--after", "evt_9", DATABASE_URL=operator_url)).exit_code == 1


async def test_an_export_that_is_cut_short_says_how_to_go_on(db: Connection, operator_url: str) -> None:
    """Its reader went away in the second thousand."""
    await db.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, created_at)"
        " SELECT 'evt_' || n, 'a.b', now() + n * interval '1 second' FROM generate_series(1, 5000) AS n"
    )
    async with running(operator_url, "export") as process:
        for _ in range(1001):
            await line_of(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout._transport.close()  # type: ignore[attr-defined]
        told = (await process.stderr.read()).decode()
        assert await process.wait() == 1
    assert told == "Cut short after 1,000 webhooks. Go on with --after evt_1000\n"


async def test_errors_are_listed_by_the_words_of_resolve(db: Connection, operator_url: str) -> None:
    """The list shows just those that resolve would close."""
    await insert_webhook(db, "evt_1", webhook_type="charge.failed")
    await insert(db, "error_logs", severity="critical", message="it died", stripe_event_id="evt_1", service="processor")
    await insert(db, "error_logs", severity="error", message="another")
    await insert(db, "error_logs", severity="error", message="closed", stripe_event_id="evt_1", resolved=True)
    words = ("--type", "charge.*", "--error", "died")
    answer = await cli_json("ls", "--errors", *words, DATABASE_URL=operator_url)
    assert [(one["id"], one["severity"], one["service"]) for one in answer["errors"]] == [
        ("1", "critical", "processor")
    ]
    shown = await cli("ls", "--errors", *words, DATABASE_URL=operator_url)
    assert shown.stdout.split()[0] == "1"
    assert shown.stdout.splitlines()[1] == "    it died"
    await cli("resolve", *words, "--yes", "--reason", "seen", DATABASE_URL=operator_url)
    assert (await cli_json("ls", "--errors", DATABASE_URL=operator_url))["errors"][0]["message"] == "another"


async def test_watch_tells_of_webhooks_until_ctrl_c(db: Connection, operator_url: str) -> None:
    """Each in a line, and it ends without a word."""
    async with running(operator_url, "watch", "--type", "charge.*", "--json") as process:
        await _wait_until_it_looks(db)
        await insert_webhook(db, "evt_1", webhook_type="invoice.paid")
        await insert_webhook(db, "evt_2", webhook_type="charge.failed")
        assert orjson.loads(await line_of(process))["item_id"] == "evt_2"
        await db.execute("UPDATE webhook_logs SET processed = true, outcome = 'applied'")
        assert orjson.loads(await line_of(process))["state"] == "processed"
        process.send_signal(signal.SIGINT)
        rest = await process.communicate()
    assert (process.returncode, rest) == (0, (b"", b""))


async def test_watch_tells_of_operations(db: Connection, operator_url: str) -> None:
    """When they begin, go on and end."""
    await insert_webhook(db, "evt_1", dead_at=NOW, outcome="failed")
    async with running(operator_url, "watch", "--operations") as process:
        await _wait_until_it_looks(db)
        await cli("write-off", "evt_1", "--reason", "why", "--by", "ada", DATABASE_URL=operator_url)
        line = await line_of(process)
        while "done" not in line:
            line = await line_of(process)
    assert line.split() == ["operation", "1", "write-off", "done", "1/1", "ada:", "why"]


async def test_watch_takes_no_filter_with_operations(operator_url: str) -> None:
    """An operation has no type."""
    assert (await cli("watch", "--operations", "--type", "a.*", DATABASE_URL=operator_url)).exit_code == 2


async def _wait_until_it_looks(db: Connection) -> None:
    """An operator's session has looked, and looks again in a second."""
    seen = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'operator' AND state = 'idle' AND query ~ $1"
    await until(lambda: db.fetchval(seen, "item_id, kind, state|first_open"))
