"""Nothing that Stripe or an organiser sent reaches the terminal raw, in any command."""

import re
import unicodedata
from datetime import UTC, datetime
from io import StringIO

import orjson
import pytest
import pytest_asyncio
from rich.text import Text

from devstack.screen import Screen
from sluice.ops.terminal import Terminal
from tests.ops.cli import cli, cli_json
from tests.ops.rows import connected, insert, insert_fact, insert_webhook
from tests.runtime.test_printable import is_safe

NASTY = "x\x1b[31m\x1b]52;c;ZXZpbA==\x07\x9b2J\u202e\r\n2026-01-01 forged line\x00"[:-1]
ROW = "0b9c5e0e-6c0f-4f0e-9a53-3f1f6f1c2b11"
OWN_STYLES = re.compile(r"\x1b\[[0-9;]*m")


@pytest_asyncio.fixture
async def poisoned(database_url: str) -> str:
    """A payment of which every text that a sender can choose is poisoned."""
    async with connected(database_url) as connection:
        await insert(
            connection, "events", id=ROW, name=NASTY, payment_status=NASTY[:40], stripe_payment_intent_id="pi_1",
            stripe_account_id=NASTY,
        )  # fmt: skip
        await insert(
            connection, "payment", scope=f"live:{NASTY}", payment_id="pi_1", bound_by=NASTY, events_id=ROW, rank=1,
            status=NASTY,
        )  # fmt: skip
        await insert_fact(
            connection, "evt_1", minutes=0, scope=f"live:{NASTY}", kind="refund", status=NASTY, currency=NASTY,
            amount=1, object_id=NASTY, names_event=NASTY, named_by="metadata",
        )  # fmt: skip
        await insert_webhook(
            connection, "evt_1", webhook_type=NASTY, outcome=NASTY, last_error=NASTY, verified_by=NASTY,
            created_at=datetime(2026, 11, 23, 10, 0, tzinfo=UTC),
        )  # fmt: skip
        await insert(connection, "webhook_delivery", stripe_event_id="evt_1", verified_by=NASTY, body_differs=True)
        await insert(connection, "error_logs", severity="error", kind="webhook", message=NASTY, event_id="evt_1")
    return database_url


def is_clean(output: str) -> bool:
    """Whether nothing but our own styles is in it that a terminal would obey."""
    return is_safe(OWN_STYLES.sub("", output).replace("\n", ""))


@pytest.mark.parametrize("asked", ["evt_1", "pi_1", ROW])
async def test_why_prints_no_escape_and_no_line_of_a_sender(poisoned: str, asked: str) -> None:
    """By whatever id it is asked."""
    result = await cli("why", asked, DATABASE_URL=poisoned)
    assert result.exit_code == 0
    assert is_clean(result.stdout)
    assert "\x1b" not in result.stdout
    assert not any(line.startswith("2026-01-01 forged") for line in result.stdout.splitlines())
    assert "\\x1b" in result.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["ls"],
        ["ls", "--errors"],
        ["show", "evt_1"],
        ["show", "1"],
        ["export", "--bodies"],
        ["export", "--format", "csv"],
        ["operations", "list"],
        ["operations", "show", "1"],
        ["sessions"],
    ],
    ids=" ".join,
)
async def test_no_verb_of_operators_prints_what_a_sender_sent(poisoned: str, command: list[str]) -> None:
    """Nor what another operator gave as a reason, or called their session."""
    async with connected(poisoned) as other:
        await other.execute("SELECT set_config('application_name', $1, false)", "y\x1b[31m")
        await insert(
            other, "error_logs", severity="error", kind="webhook", message=NASTY, stack_trace=NASTY, service=NASTY,
            request_data=orjson.dumps({"a": NASTY}).decode(), stripe_event_id="evt_1",
        )  # fmt: skip
        await cli("write-off", "evt_1", "--all", "--yes", "--reason", NASTY, "--by", NASTY, DATABASE_URL=poisoned)
        result = await cli(*command, DATABASE_URL=poisoned)
    assert result.exit_code == 0, result.output
    assert is_clean(result.stdout.replace("\r\n", "\n"))
    assert not any(line.startswith("2026-01-01 forged") for line in result.stdout.splitlines())


async def test_its_json_is_printable_and_means_the_same(poisoned: str) -> None:
    """Machines read what was sent; a terminal obeys none of it."""
    result = await cli("why", "evt_1", "--json", DATABASE_URL=poisoned)
    assert is_clean(result.stdout)
    told = await cli_json("why", "evt_1", DATABASE_URL=poisoned)
    assert told["webhooks"][0]["last_error"] == NASTY


@pytest.mark.parametrize(
    "command", [["why", f"pi_{NASTY}"], ["why", f"evt_{NASTY}"], ["send", "--history", NASTY], [NASTY]]
)
async def test_errors_quote_nothing_raw(database_url: str, command: list[str]) -> None:
    """Not what was asked either: ids are pasted from mails and tickets."""
    result = await cli(*command, DATABASE_URL=database_url)
    assert result.exit_code != 0
    assert is_clean(result.output)


async def test_an_error_of_the_server_is_printable(database_url: str) -> None:
    """It may quote a value."""
    result = await cli("status", DATABASE_URL=database_url + "_\u202e\x9b2J")
    assert result.exit_code == 1
    assert is_clean(result.output)


def test_the_screen_of_make_run_is_printable() -> None:
    """Lines and tables; its own colours stay."""
    terminal = Terminal(file=StringIO(), force_terminal=True, width=200)
    screen = Screen(terminal)
    screen.say(NASTY)
    screen.show(Text(NASTY, style="bold"))
    assert isinstance(terminal.file, StringIO)
    shown = terminal.file.getvalue()
    assert is_clean(shown)
    assert "\x1b[1m" in shown
    assert unicodedata.category("\x1b") == "Cc"
