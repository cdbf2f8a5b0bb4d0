"""``sluice reconcile``: an operator asks Stripe what never arrived."""

import time
from collections.abc import AsyncIterator, Mapping

import pytest

from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.answers import Refusal
from sluice.simulator.stripe_api.faults import Fault, broken
from sluice.simulator.stripe_api.listing import Page, StoredListing
from sluice.simulator.stripe_api.offline_stripe import Key, OfflineStripe
from sluice.simulator.stripe_api.query import Wanted
from sluice.simulator.stripe_api.server import serve
from tests.ops.cli import cli, cli_json
from tests.reconciler.passing import deliver, logged
from tests.stripe_world import TEST_KEY, bare_event, offline_stripe

DAY = 86_400


@pytest.fixture
def world() -> OfflineStripe:
    """Four events, one a day, of which none is delivered."""
    stripe = offline_stripe()
    for number in range(4):
        stripe.happened(bare_event(number, created=int(time.time()) - number * DAY - 60))
    return stripe


@pytest.fixture
async def environment(world: OfflineStripe, database_url: str) -> AsyncIterator[Mapping[str, str]]:
    """As an operator has it."""
    async with serve(world) as base:
        yield {"DATABASE_URL": database_url, "STRIPE_API_KEY": TEST_KEY, "STRIPE_API_BASE": base}


async def test_a_dry_run_counts_and_records_nothing(environment: Mapping[str, str], database: Database) -> None:
    """The missing events are counted; the log stays as it is."""
    await deliver(database, bare_event(1, created=int(time.time()) - DAY))
    told = await cli_json("reconcile", "--since", "30d", "--dry-run", **environment)
    (account,) = told["accounts"]
    assert (account["account"], account["mode"]) == ("platform", "test")
    assert (account["listed"], account["in_step"], account["filled"], account["refused"]) == (4, 1, 3, 0)
    assert await logged(database) == {"evt_1"}


async def test_what_is_missing_since_then_is_filled(environment: Mapping[str, str], database: Database) -> None:
    """Only as far back as was asked, and a second run finds all in step."""
    result = await cli("reconcile", "--since", "48h", **environment)
    assert result.exit_code == 0, result.output
    assert await logged(database) == {"evt_0", "evt_1"}
    (account,) = (await cli_json("reconcile", "--since", "48h", **environment))["accounts"]
    assert (account["listed"], account["in_step"]) == (2, 2)


async def test_an_account_by_name_is_the_only_one(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """``--account`` leaves the others alone, and need not be known to the database."""
    world.happened(bare_event(9, created=int(time.time()), account="acct_9"))
    result = await cli("reconcile", "--since", "1d", "--account", "acct_9", **environment)
    assert result.exit_code == 0, result.output
    assert await logged(database) == {"evt_9"}


async def test_a_list_that_the_key_does_not_open_is_said_to_be_so(
    environment: Mapping[str, str], world: OfflineStripe
) -> None:
    """Exit code 1, and the missing right by its name."""
    world.keys["rk_test_poor"] = Key("rk_test_poor", frozenset())
    result = await cli("reconcile", "--since", "1d", **{**environment, "STRIPE_API_KEY": "rk_test_poor"})
    assert result.exit_code == 1
    assert "rak_event_read" in result.output


async def test_a_stripe_that_stumbles_is_asked_again(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """One 500 ends nothing."""
    world.faults.add([broken()])
    result = await cli("reconcile", "--since", "1h", **environment)
    assert result.exit_code == 0, result.output
    assert await logged(database) == {"evt_0"}


async def test_a_list_goes_on_where_the_event_is_gone_that_it_would_go_on_behind(
    environment: Mapping[str, str], world: OfflineStripe, database: Database
) -> None:
    """It is thirty days old by then: the rest is asked for by time, and all others are recorded."""
    for number in range(10, 260):
        world.happened(bare_event(number, created=int(time.time()) - 60 - number))
    listing = world.events[False, None]
    assert isinstance(listing, StoredListing)
    whole = listing.page

    def page(wanted: Wanted, *, oldest: int) -> Page:
        if wanted.starting_after is not None:
            listing.remove(wanted.starting_after)
        return whole(wanted, oldest=oldest)

    vars(listing)["page"] = page
    result = await cli("reconcile", "--since", "1h", **environment)
    assert result.exit_code == 0, result.output
    assert await logged(database) == {"evt_0", *(f"evt_{number}" for number in range(10, 260))}


async def test_a_request_that_stripe_refuses_is_told_in_words(
    environment: Mapping[str, str], world: OfflineStripe
) -> None:
    """Exit code 1, and no traceback."""
    world.faults.add([Fault(Refusal(400, "Invalid integer: x"))])
    result = await cli("reconcile", "--since", "1h", **environment)
    assert result.exit_code == 1
    assert "refuses the request as wrong" in result.output


async def test_without_a_key_the_command_says_what_to_set(database_url: str) -> None:
    """It is called in a wrong way, and the fix is told."""
    result = await cli("reconcile", "--since", "1h", DATABASE_URL=database_url)
    assert result.exit_code == 2
    assert "STRIPE_API_KEY" in result.output


async def test_accounts_are_forgotten_where_no_reconciler_runs(database: Database, database_url: str) -> None:
    """Health has no account to speak of any more; it needs no key of Stripe's."""
    await database.execute(
        "INSERT INTO reconcile_account (livemode, account, complete_until) VALUES (true, 'a', now())"
    )
    result = await cli("reconcile", "--forget", DATABASE_URL=database_url)
    assert (result.exit_code, result.stdout.split()[0]) == (0, "1")
    assert await database.fetch("SELECT FROM reconcile_account") == []
    assert (await cli("reconcile", DATABASE_URL=database_url)).exit_code == 2
