"""``sluice backfill``: an operator has the objects of an old account recorded as they are."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from sluice.contract.document import JsonObject
from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.faults import broken
from sluice.simulator.stripe_api.offline_stripe import Key, OfflineStripe
from sluice.simulator.stripe_api.server import serve
from tests.ops.cli import cli, cli_json
from tests.reconciler.passing import logged
from tests.stripe_world import TEST_KEY, offline_stripe
from tests.waiting import until

DAY = 86_400
TEST_MODE = (False, None)
MANY = 950


def intent(number: int, *, days_ago: float = 100, status: str = "succeeded") -> JsonObject:
    """``pi_{number}``, of which no event is left."""
    return {
        "id": f"pi_{number}",
        "object": "payment_intent",
        "created": int(time.time() - days_ago * DAY) - number,
        "amount": 4200,
        "amount_received": 4200,
        "currency": "eur",
        "livemode": False,
        "status": status,
    }


@pytest.fixture
def world() -> OfflineStripe:
    """A Stripe whose events are gone."""
    return offline_stripe()


@pytest.fixture
async def environment(world: OfflineStripe, role_url: Callable[[str], str]) -> AsyncIterator[Mapping[str, str]]:
    """As an operator has it, with the reconciler's rights."""
    async with serve(world) as base:
        yield {"DATABASE_URL": role_url("reconciler"), "STRIPE_API_KEY": TEST_KEY, "STRIPE_API_BASE": base}


async def objects(environment: Mapping[str, str], *arguments: str) -> Mapping[str, Mapping[str, object]]:
    """Run it, and give its report by kind of object."""
    told = await cli_json("backfill", "--rate", "100", *arguments, **environment)
    return {one["objects"]: one for one in told["objects"]}


async def test_pages_of_objects_are_recorded_as_they_were_fetched(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """Each object is one row that says that Stripe's API gave it; what is older than was asked is left out."""
    for number in range(230):
        world.put_object(intent(number), TEST_MODE)
    world.put_object(intent(999, days_ago=400), TEST_MODE)
    found = await objects(environment, "--since", "1y", "--objects", "payment_intents")
    assert (found["payment_intents"]["listed"], found["payment_intents"]["filled"]) == (230, 230)
    (row,) = await database.fetch(
        "SELECT count(DISTINCT object_id) AS objects, count(*) AS rows, min(verified_by) AS verified_by,"
        " max(webhook_type) AS type, max(object_id) AS last FROM webhook_logs"
    )
    assert dict(row) == {
        "objects": 230,
        "rows": 230,
        "verified_by": "api",
        "type": "payment_intent.fetched",
        "last": "pi_99",
    }


async def test_a_second_run_changes_nothing(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """All is known by then."""
    world.put_object(intent(1), TEST_MODE)
    await objects(environment, "--since", "2y")
    before = await database.fetch("SELECT * FROM webhook_logs")
    again = await objects(environment, "--since", "2y")
    assert (again["payment_intents"]["known"], again["payment_intents"]["filled"]) == (1, 0)
    assert await database.fetch("SELECT * FROM webhook_logs") == before


async def test_an_object_that_has_changed_since_is_recorded_again(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """Beside the first row, which stays."""
    world.put_object(intent(1, status="processing"), TEST_MODE)
    await objects(environment, "--since", "2y", "--objects", "payment_intents")
    world.put_object(intent(1), TEST_MODE)
    again = await objects(environment, "--since", "2y", "--objects", "payment_intents")
    assert again["payment_intents"]["filled"] == 1
    assert len(await logged(database)) == 2


async def test_a_dry_run_writes_nothing(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """It counts; neither rows nor progress are kept."""
    world.put_object(intent(1), TEST_MODE)
    found = await objects(environment, "--since", "2y", "--dry-run")
    assert found["payment_intents"]["filled"] == 1
    assert not await logged(database)
    assert not await database.fetch("SELECT * FROM backfill_walk")


async def test_a_list_that_the_key_does_not_open_is_named_and_the_others_are_read(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """Exit code 1, the missing right by its name."""
    world.put_object(intent(1), TEST_MODE)
    world.keys["rk_test_poor"] = Key("rk_test_poor", frozenset({"rak_payment_intent_read"}))
    result = await cli(
        *("backfill", "--since", "2y", "--objects", "charges,payment_intents"),
        **{**environment, "STRIPE_API_KEY": "rk_test_poor"},
    )
    assert result.exit_code == 1
    assert "rak_charge_read" in result.output
    assert len(await logged(database)) == 1


async def test_subscriptions_that_ended_are_listed_too(environment: Mapping[str, str], world: OfflineStripe) -> None:
    """Stripe leaves them out unless it is asked for all."""
    ended: JsonObject = {
        "id": "sub_1",
        "object": "subscription",
        "created": int(time.time()) - DAY,
        "status": "canceled",
    }
    world.put_object(ended, TEST_MODE)
    found = await objects(environment, "--since", "2y", "--objects", "subscriptions")
    assert found["subscriptions"]["filled"] == 1


async def test_a_stripe_that_stumbles_is_asked_again(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """One 500 ends nothing."""
    world.put_object(intent(1), TEST_MODE)
    world.faults.add([broken()])
    await objects(environment, "--since", "2y", "--objects", "payment_intents")
    assert len(await logged(database)) == 1


async def test_a_connected_accounts_objects_are_its_own(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """The row says whose it is, so that its payment is no one else's."""
    world.accounts.add("acct_9")
    world.put_object(intent(1), (False, "acct_9"))
    await objects(environment, "--since", "2y", "--objects", "payment_intents", "--account", "acct_9")
    (row,) = await database.fetch("SELECT stripe_account_id FROM webhook_logs")
    assert row["stripe_account_id"] == "acct_9"


async def test_a_kind_that_cannot_be_listed_is_named(database_url: str) -> None:
    """It is called in a wrong way, and told which there are."""
    result = await cli("backfill", "--since", "2y", "--objects", "cars", DATABASE_URL=database_url)
    assert result.exit_code == 2
    assert "checkout_sessions" in result.output


async def test_the_report_fits_80_columns(environment: Mapping[str, str], world: OfflineStripe) -> None:
    """With an account of Stripe's usual length."""
    account = "acct_1032D82eZvKYlo2C"
    world.accounts.add(account)
    shown = await cli("backfill", "--since", "2y", "--account", account, **environment, COLUMNS="80")
    assert shown.exit_code == 0, shown.output
    assert account in shown.stdout
    assert "checkout_sessions" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


async def test_the_help_fits_80_columns() -> None:
    """The examples too."""
    shown = await cli("backfill", "--help", COLUMNS="80")
    assert max(map(len, shown.stdout.splitlines())) <= 80


async def test_a_killed_run_goes_on_where_it_stopped(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """The next one lists what is left, and every object is recorded once."""
    for number in range(MANY):
        world.put_object(intent(number), TEST_MODE)
    arguments = ["backfill", "--since", "2y", "--objects", "payment_intents"]
    command = [sys.executable, "-m", "sluice.ops", *arguments, "--rate", "2"]
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environment})
    await until(lambda: len(world.requests) >= 4, within_seconds=30)
    process.kill()
    await process.wait()
    kept = len(await logged(database))
    assert 0 < kept < MANY
    world.requests.clear()
    found = await objects(environment, *arguments[1:])
    assert len(await logged(database)) == MANY
    assert len(world.requests) <= (MANY - kept) // 100 + 2
    assert found["payment_intents"]["filled"] == MANY
