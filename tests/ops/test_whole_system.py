"""The command line against the real system: what is sent by hand takes effect, and every id leads to its history."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sluice.simulator.catalog import SCENARIOS
from tests.ops.cli import cli, cli_json
from tests.ops.rows import connected
from tests.waiting import until

if TYPE_CHECKING:
    from devstack.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")
_KINDS = ("evt_", "pi_", "cs_", "ch_", "in_", "sub_", "re_", "du_")


@pytest.fixture
def target(stack: "Stack", tmp_path: Path) -> list[str]:
    """Options of `send` that point at the stack."""
    secret = tmp_path / "secret"
    secret.write_text(stack.webhook_secret)
    return ["--to", stack.gateway_url, "--secret-file", str(secret)]


async def test_a_whole_day_takes_effect_twice_over(stack: "Stack", target: list[str]) -> None:
    """Every scenario ends as it says, the forgery is refused, and the next day joins the first one's rows."""
    for _ in range(2):
        result = await cli("send", *target, "--demo-rows", DATABASE_URL=stack.database_url)
        assert result.exit_code == 0, result.output
    async with connected(stack.database_url) as connection:
        rows = await connection.fetch("SELECT name, payment_status FROM events WHERE name LIKE '%(Sluice demo)'")
        undone = await connection.fetchval(
            "SELECT count(*) FROM webhook_logs WHERE NOT processed OR dead_at IS NOT NULL"
        )
    assert {row["name"]: row["payment_status"] for row in rows} == {
        f"{scenario.title} (Sluice demo)": scenario.expected_status for scenario in SCENARIOS.values()
    }
    assert undone == 0


@pytest.mark.parametrize("kind", _KINDS)
async def test_every_kind_of_id_leads_to_a_payment(stack: "Stack", kind: str) -> None:
    """Ids as the pipeline wrote them: each one's history names a payment, its row and its webhooks."""
    async with connected(stack.database_url) as connection:
        asked = await connection.fetchval(
            "SELECT max(ids.key) FROM payment JOIN payment_fact USING (scope, payment_id),"
            " LATERAL (VALUES (payment_id), (object_id), (stripe_event_id)) AS ids (key)"
            " WHERE events_id IS NOT NULL AND starts_with(ids.key, $1)",
            kind,
        )
    told = await cli_json("why", asked, DATABASE_URL=stack.database_url)
    assert told["payments"]
    assert told["events_rows"]
    assert told["webhooks"]


async def test_the_last_fact_of_a_story_agrees_with_the_database(stack: "Stack") -> None:
    """Fold over growing prefixes ends where the processor's own fold ended."""
    async with connected(stack.database_url) as connection:
        rows = await connection.fetch("SELECT id::text AS id FROM events WHERE name LIKE '%(Sluice demo)'")
    for row in rows:
        told = await cli_json("why", row["id"], DATABASE_URL=stack.database_url)
        for payment in told["payments"]:
            assert [fact["status_after"] for fact in payment["facts"]][-1] == payment["status"]


async def test_a_load_test_passes_and_the_status_is_calm(stack: "Stack", target: list[str]) -> None:
    """100 at once, each three times: all accepted; afterwards every service is ready and nothing waits."""
    result = await cli("send", *target, "--burst", "100")
    assert result.exit_code == 0, result.output
    assert "300 of 300 accepted" in result.stdout
    admin = {name: url for name, url in stack.environment().items() if name.endswith("_ADMIN_URL")}
    told = await cli_json("status", DATABASE_URL=stack.database_url, **admin)
    assert [(service["name"], service["ready"]) for service in told["services"]] == [
        ("ingest", True),
        ("processor", True),
        ("healthd", True),
        ("reconciler", True),
    ]
    assert told["dead"] == told["parked"] == 0


async def test_the_endpoint_of_a_stack_is_well_once_webhooks_came(stack: "Stack") -> None:
    """The stack's own Stripe, the installed handlers' types, and the secret that verified what was sent."""
    told = await cli_json("doctor", "--without-url", **stack.environment())
    assert told["findings"] == []
    assert list(told["secrets"]["last_seen"]) == told["secrets"]["configured"]


async def test_one_can_wait_for_the_effect_without_demo_rows(stack: "Stack", target: list[str]) -> None:
    """`helm test` waits so: it ends well once PostgreSQL says that all of it is processed."""
    options = [*target, "--scenario", "checkout_paid", "--in-order", "--wait"]
    result = await cli("send", *options, DATABASE_URL=stack.database_url)
    assert result.exit_code == 0, result.output
    assert "All of it is processed." in result.stdout


async def test_a_wrong_secret_is_shown_and_fails(stack: "Stack", tmp_path: Path) -> None:
    """Exit code 1 at once, with the answer and what Sluice said."""
    secret = tmp_path / "wrong"
    secret.write_text("whsec_wrong")
    options = ["--to", stack.gateway_url, "--secret-file", str(secret), "--scenario", "expired", "--in-order"]
    result = await cli("send", *options)
    assert result.exit_code == 1
    assert "400" in result.stdout
    assert "whsec_wrong" not in result.output


async def test_what_is_processed_can_be_replayed_and_changes_nothing(stack: "Stack") -> None:
    """Each webhook ends as it had ended, the ledger has no fact more, and every row shows what it showed."""
    shown = "SELECT string_agg(id::text || payment_status, ',' ORDER BY id) FROM events"
    facts = "SELECT count(*) FROM payment_fact"
    outcomes = "SELECT string_agg(stripe_event_id || outcome, ',' ORDER BY id) FROM webhook_logs"
    left = "SELECT count(*) FROM webhook_logs WHERE NOT processed"
    arguments = ("--all", "--state", "processed", "--limit", "60", "--yes", "--reason", "a rehearsal")
    async with connected(stack.database_url) as connection:
        before = [await connection.fetchval(query) for query in (shown, facts, outcomes)]
        result = await cli("replay", *arguments, DATABASE_URL=stack.database_url)
        assert result.stdout.endswith("is done: 60 of 60 changed.\n")

        async def is_calm() -> bool:
            return bool(await connection.fetchval(left) == 0)

        await until(is_calm, within_seconds=30, what="the replayed webhooks are processed")
        assert [await connection.fetchval(query) for query in (shown, facts, outcomes)] == before


async def test_a_replay_of_what_is_processed_is_told_to_change_nothing(stack: "Stack") -> None:
    """A processor of the system answers, although the ledger is there already."""
    arguments = ("replay", "--all", "--state", "processed", "--limit", "60", "--diff")
    result = await cli(*arguments, DATABASE_URL=stack.database_url)
    assert result.exit_code == 0, result.output
    assert "Nothing was changed. It would be no row; webhooks then: 60 processed." in result.stdout


async def test_rows_that_lost_their_payments_are_told_what_a_replay_gives_back(stack: "Stack") -> None:
    """And the replay then does so: each row of events as it was told."""
    statuses = "SELECT id::text, payment_status FROM events WHERE name LIKE '%(Sluice demo)' ORDER BY id"
    async with connected(stack.database_url) as connection:
        before = await connection.fetch(statuses)
        await connection.execute(
            "TRUNCATE payment, payment_fact, invoice, subscription; UPDATE events"
            " SET payment_status = 'pending', stripe_payment_intent_id = NULL, last_webhook_received = NULL"
        )
        arguments = ("replay", "--all", "--state", "processed")
        told = await cli_json(*arguments, "--diff", "--limit", "1000", DATABASE_URL=stack.database_url)
        diff = told["diff"]
        columns = {row["key"][0]: row["columns"] for row in diff["rows"] if row["table"] == "events"}
        becomes = {key: {one["name"]: one["after"] for one in changed} for key, changed in columns.items()}
        assert [becomes.get(row["id"], {}).get("payment_status", "pending") for row in before] == [
            row["payment_status"] for row in before
        ]
        assert await connection.fetchval("SELECT count(*) FROM payment") == 0
        result = await cli(*arguments, "--yes", "--reason", "as told", DATABASE_URL=stack.database_url)
        assert result.exit_code == 0, result.output

        async def is_calm() -> bool:
            return bool(await connection.fetchval("SELECT NOT EXISTS (SELECT FROM webhook_logs WHERE NOT processed)"))

        await until(is_calm, within_seconds=60, what="the replayed webhooks are processed")
        assert await connection.fetch(statuses) == before
