"""The scope rule in SQL: it says what the one in Python says, and costs no call."""

import re

import pytest

from processor.payments import row_watch
from sluice.ops import why
from sluice.payments.scopes import allowed_scopes
from sluice.postgres.sql import load_queries
from tests.payments.harness import Harness

RULES = ("sluice_payment_scopes", "sluice_shown_scopes")
QUERIES = {**row_watch.QUERIES, **load_queries(why.__file__, "why.sql")}
CALLERS = {
    **{name: query for name, query in QUERIES.items() if any(rule in query for rule in RULES)},
    **{
        f"{rule} in a look-up": f"SELECT FROM events AS e, payment AS p WHERE p.payment_id = e.stripe_payment_intent_id"
        f" AND p.scope = ANY ({rule}(e.id::text, e.stripe_account_id))"
        for rule in RULES
    },
}


@pytest.mark.parametrize("account", [None, "", "acct_1"])
async def test_the_rule_in_sql_is_the_rule_in_python(harness: Harness, account: str | None) -> None:
    """For a row of the platform's and for one of a connected account."""
    scopes = await harness.tx.fetchval("SELECT sluice_payment_scopes('7', $1)", account)
    assert tuple(scopes) == allowed_scopes("7", account)


@pytest.mark.parametrize("account", [None, "", "acct_1"])
async def test_a_row_shows_payments_of_its_own_scopes_and_of_the_platforms(
    harness: Harness, account: str | None
) -> None:
    """Of any account: the platform's charge may pay a connected account."""
    scopes = await harness.tx.fetchval("SELECT sluice_shown_scopes('7', $1)", account)
    assert set(scopes) - {None} == {*allowed_scopes("7", account), *allowed_scopes("7", None)}


@pytest.mark.parametrize("caller", CALLERS)
async def test_the_planner_puts_the_rule_in_place_of_its_call(harness: Harness, caller: str) -> None:
    """So that a look-up by scope is one of an index; for the role that asks, who must have the right to call it."""
    await harness.tx.execute("BEGIN; SET LOCAL ROLE sluice_migrator; SET LOCAL enable_seqscan = off")
    await harness.tx.execute(f"SET LOCAL plan_cache_mode = force_generic_plan; PREPARE asked AS {CALLERS[caller]}")
    arguments = ", ".join(["NULL"] * len(set(re.findall(r"\$\d", CALLERS[caller]))))
    execute = f"EXECUTE asked ({arguments})" if arguments else "EXECUTE asked"
    plan = "\n".join(row[0] for row in await harness.tx.fetch(f"EXPLAIN (VERBOSE, COSTS OFF) {execute}"))
    assert "ARRAY[" in plan
    assert not any(rule in plan for rule in RULES), plan
