from pathlib import Path

import orjson
import pytest

from sluice.ops.send.burst import plan_burst
from sluice.simulator.catalog import SCENARIOS
from tests.ops.cli import cli
from tests.ops.rows import connected
from tests.simulator.gateway import Arrived, gateway


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a stack in it or above."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("whsec_a,whsec_b\n")
    return tmp_path


async def test_the_list_names_every_story(nowhere: Path) -> None:
    """Nothing is sent, nothing is needed."""
    result = await cli("send", "--list")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in SCENARIOS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "make run"),
        (["--secret-file", "secret"], "--to URL"),
        (["--to", "http://127.0.0.1:1"], "--secret-file"),
        (["--to", "http://127.0.0.1:1", "--secret-file", "gone"], "cannot be read"),
        (["--to", "http://127.0.0.1:1", "--secret-file", "secret", "--demo-rows"], "DATABASE_URL"),
        (["--scenario", "no_such_story"], "checkout_paid"),
    ],
)
async def test_what_is_missing_is_named(nowhere: Path, options: list[str], words: str) -> None:
    """Exit code 2 and the fix."""
    result = await cli("send", *options)
    assert result.exit_code == 2
    assert words in result.stderr


async def test_one_story_is_sent_to_any_gateway(nowhere: Path) -> None:
    """In order, once each, about the row that the person names, without any database."""
    async with gateway() as fake:
        options = [
            "--to",
            fake.url,
            "--secret-file",
            "secret",
            "--scenario",
            "refund_partial",
            "--in-order",
            "--event-id",
            "42",
        ]
        result = await cli("send", *options)
    assert result.exit_code == 0, result.output
    types = [orjson.loads(one.body)["type"] for one in fake.arrived]
    assert types[0] == "payment_intent.created"
    assert types[-1] == "refund.updated"
    assert any(b'"event_id": "42"' in one.body for one in fake.arrived)
    assert "8 answered 200" in result.stdout


async def test_without_a_row_nothing_is_named(nowhere: Path) -> None:
    """Sent to a system that is not ours, no object names a row that does not exist there."""
    async with gateway() as fake:
        result = await cli("send", "--to", fake.url, "--secret-file", "secret", "--in-order", "--count", "2")
    assert result.exit_code == 0
    assert not any(b"event_id" in one.body for one in fake.arrived)
    ids = [orjson.loads(one.body)["id"] for one in fake.arrived]
    assert len(set(ids)) == len(ids) > 300


async def test_the_local_stack_is_used_as_a_whole_whatever_the_environment_says(nowhere: Path) -> None:
    """A shell that points at production neither gets demo rows nor lends its secret."""
    async with gateway() as fake:
        (nowhere / ".local").mkdir()
        stack = {"GATEWAY_URL": fake.url, "STRIPE_WEBHOOK_SECRET": "whsec_local"}
        (nowhere / ".local" / "stack.env").write_text("".join(f"{name}='{value}'\n" for name, value in stack.items()))
        ambient = {"DATABASE_URL": "postgresql://production.invalid/x", "STRIPE_WEBHOOK_SECRET": "whsec_live"}
        result = await cli("send", "--story", "expired", "--in-order", **ambient)
    assert result.exit_code == 0, result.output
    assert len(fake.arrived) == 1


async def test_one_story_makes_its_own_row_and_no_other(
    nowhere: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table events is a person's own; a fake gateway processes nothing, so the command does not end well."""
    monkeypatch.setattr("sluice.ops.send.command._WAIT_SECONDS", 0.1)
    async with gateway() as fake:
        (nowhere / ".local").mkdir()
        stack = (
            f"export GATEWAY_URL={fake.url}\nSTRIPE_WEBHOOK_SECRET=whsec_local\nexport DATABASE_URL='{database_url}'\n"
        )
        (nowhere / ".local" / "stack.env").write_text(stack)
        result = await cli("send", "--scenario", "expired", "--scenario", "declined", "--in-order")
    assert result.exit_code == 1
    assert "expired" in result.stdout
    async with connected(database_url) as connection:
        rows = await connection.fetch("SELECT name FROM events ORDER BY name")
    titles = [f"{SCENARIOS[name].title} (Sluice demo)" for name in ("declined", "expired")]
    assert sorted(row["name"] for row in rows) == sorted(titles)


async def test_a_burst_sends_each_webhook_three_times_and_leaves_a_record(nowhere: Path, database_url: str) -> None:
    """The load test's result is in the stack's database, where `status --since` finds it; each run adds one."""
    async with gateway() as fake:
        (nowhere / ".local").mkdir()
        stack = f"GATEWAY_URL={fake.url}\nSTRIPE_WEBHOOK_SECRET=whsec_local\nDATABASE_URL={database_url}\n"
        (nowhere / ".local" / "stack.env").write_text(stack)
        result = await cli("send", "--burst", "7")
    assert result.exit_code == 0
    assert len(fake.arrived) == 21
    assert len({one.body for one in fake.arrived}) == 7
    assert await _load_tests(database_url) == [(7, 21, 21)]


async def test_a_burst_at_a_cluster_is_recorded_when_asked(nowhere: Path, database_url: str) -> None:
    """With --to nothing is written without --record; with it, a member of sluice_migrator may."""
    role = f"{database_url}?options=-crole%3Dsluice_migrator"
    async with gateway() as fake:
        target = ["send", "--to", fake.url, "--secret-file", "secret", "--burst", "2"]
        assert (await cli(*target, DATABASE_URL=role)).exit_code == 0
        assert await _load_tests(database_url) == []
        assert (await cli(*target, "--record", DATABASE_URL=role)).exit_code == 0
    assert await _load_tests(database_url) == [(2, 6, 6)]


async def _load_tests(database_url: str) -> list[tuple[int, int, int]]:
    async with connected(database_url) as connection:
        rows = await connection.fetch("SELECT connections, sent, accepted FROM webhook_load_test ORDER BY id")
    return [(row["connections"], row["sent"], row["accepted"]) for row in rows]


async def test_a_burst_that_is_refused_at_first_has_not_passed(nowhere: Path) -> None:
    """Retries save the webhook, not the load test."""

    def busy_at_first(_: Arrived, before: int) -> int:
        return 503 if before == 0 else 200

    async with gateway(busy_at_first) as fake:
        result = await cli("send", "--to", fake.url, "--secret-file", "secret", "--burst", "2")
    assert result.exit_code == 1
    assert "5 of 6 accepted" in result.stdout


def test_a_burst_is_made_of_distinct_events() -> None:
    """Each connection has one of its own."""
    burst = plan_burst("whsec_a", connections=5, seed="1", ends_at=1_900_000_000)
    assert len(burst) == 15
    assert len({one.event.stripe_event_id for one in burst}) == 5
