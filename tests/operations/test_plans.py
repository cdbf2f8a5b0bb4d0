"""The cost of a filter is bounded: by an index where there is one, and a body is read for a customer alone."""

from datetime import timedelta
from typing import Any

import pytest

from sluice.inbox.states import State
from sluice.operations.filters import Filter, chosen_errors, chosen_webhooks
from sluice.operations.verbs import Verb
from sluice.postgres.pool import Connection, Database
from tests.operations.rows import DAY

FIELDS: dict[str, dict[str, Any]] = {
    "ids": {"ids": ["evt_7"]},
    "type": {"types": ["charge.*"]},
    "account": {"account": "acct_1"},
    "organiser": {"organiser": "7"},
    "since": {"since": DAY + timedelta(seconds=19_990)},
    "until": {"until": DAY + timedelta(seconds=9)},
    "outcome": {"outcome": "failed"},
    "object": {"object_id": "ch_1"},
    "customer": {"customer": "cus_1"},
    "handler": {"handler": "shop.points"},
    "error": {"error": "relation"},
    "verified by": {"verified_by": "api"},
}
_A_LOG = """
INSERT INTO webhook_logs (stripe_event_id, webhook_type, object_id, body, created_at, processed, outcome, dead_at)
SELECT 'evt_' || n, 'test.effect', 'ch_' || n, '{}', $1::timestamptz + n * interval '1 second', n % 100 <> 0,
       CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'applied' END, CASE WHEN n % 100 = 0 THEN now() END
FROM generate_series(1, 20000) AS n
"""
_ERRORS = """
INSERT INTO error_logs (severity, message, stripe_event_id, resolved)
SELECT 'error', 'it failed', 'evt_' || n, n % 100 <> 0 FROM generate_series(1, 20000) AS n
"""


async def plan_of(connection: Connection, choice: str, chosen: Filter, end: str = "") -> str:
    """The plan of a statement that chooses rows, in a log of 20,000 of which 200 are dead."""
    if await connection.fetchval("SELECT count(*) FROM webhook_logs") == 0:
        await connection.execute(_A_LOG, DAY)
        await connection.execute(_ERRORS)
        await connection.execute("ANALYZE webhook_logs, error_logs")
    rows = await connection.fetch(f"EXPLAIN {choice} {end}", *chosen.parameters)
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("verb", [Verb.RETRY, Verb.REPLAY, Verb.WRITE_OFF])
async def test_a_verb_reads_what_is_open_and_no_other_webhook(verb: Verb, database: Database) -> None:
    """By whatever it is asked: what waits, or is dead, has an index of its own."""
    async with database.acquire() as connection:
        for name, fields in FIELDS.items():
            chosen = Filter(**fields)
            plan = await plan_of(connection, verb.rules.choice(chosen), chosen)
            assert "Seq Scan" not in plan, (name, plan)


async def test_resolving_reads_what_is_unresolved_and_no_other_error(database: Database) -> None:
    """An error has an index while it is unresolved."""
    async with database.acquire() as connection:
        for name, fields in FIELDS.items():
            chosen = Filter(**fields)
            plan = await plan_of(connection, chosen_errors(()), chosen)
            assert "Seq Scan on error_logs" not in plan, (name, plan)


@pytest.mark.parametrize(
    "fields",
    [{}, FIELDS["ids"], FIELDS["since"], FIELDS["until"], {"states": [State.DEAD]}, {"states": [State.FAILED]}],
    ids=str,
)
async def test_a_list_by_id_time_or_state_reads_no_whole_log(fields: dict[str, Any], database: Database) -> None:
    """The newest thirty come from an index; so do the oldest, of an export."""
    chosen = Filter(**fields)
    choice = f"SELECT item_id FROM ({chosen_webhooks(chosen.states or list(State))}) AS choice"  # noqa: S608
    async with database.acquire() as connection:
        for order in ("DESC", "ASC"):
            end = f"ORDER BY created_at {order}, length(id) {order}, id {order} LIMIT 30"
            plan = await plan_of(connection, choice, chosen, end)
            assert "Seq Scan" not in plan, plan


async def test_only_a_customer_makes_bodies_be_read(database: Database) -> None:
    """Every other field is a column of the log."""
    async with database.acquire() as connection:
        for name, fields in FIELDS.items():
            chosen = Filter(**fields)
            plan = await plan_of(connection, chosen_webhooks(list(State)), chosen)
            assert ("body" in plan) == (name == "customer"), (name, plan)
