"""Each verb needs an operator's login in DATABASE_URL, and nothing else."""

from datetime import UTC, datetime

import pytest

from tests.ops.cli import cli
from tests.ops.rows import connected, insert, insert_fact, insert_webhook

WHY = ("--yes", "--reason", "why")
VERBS = [
    ("status",),
    ("sessions",),
    ("why", "evt_1"),
    ("ls", "--customer", "cus_1"),
    ("ls", "--errors"),
    ("show", "evt_1"),
    ("show", "1"),
    ("export", "--bodies"),
    ("retry", "evt_2", *WHY),
    ("replay", "evt_1", *WHY),
    ("replay", "--all", "--dry-run"),
    ("write-off", "evt_1", *WHY),
    ("resolve", "1", *WHY),
    ("operations", "list"),
    ("operations", "show", "1"),
    ("operations", "undo", "1", "--reason", "why"),
]


@pytest.mark.parametrize("arguments", VERBS, ids=" ".join)
async def test_a_verb_works_with_an_operators_login(
    arguments: tuple[str, ...], database_url: str, role_url: "object"
) -> None:
    """On a webhook that is dead, with an error and a fact, and one that waits; after a write-off that may be undone."""
    assert callable(role_url)
    url = role_url("operator")
    async with connected(database_url) as db:
        await insert_webhook(db, "evt_1", dead_at=datetime.now(UTC), outcome="failed", body=b"{}")
        await insert_webhook(db, "evt_2", outcome="failed", published_at=None)
        await insert(db, "error_logs", severity="error", message="it failed", stripe_event_id="evt_1")
        await db.execute("INSERT INTO payment (scope, payment_id) VALUES ('test:platform', 'pi_1')")
        await insert_fact(db, "evt_1", minutes=1, kind="intent", status="paid")
        if arguments[0] == "operations":
            await cli("write-off", "evt_1", "--reason", "why", DATABASE_URL=url)
        result = await cli(*arguments, DATABASE_URL=url)
    assert result.exit_code == 0, result.output
