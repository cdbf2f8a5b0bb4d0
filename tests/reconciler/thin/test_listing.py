"""Thin events that never arrived and that no snapshot event tells of: they are found in Stripe's second list."""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass

import orjson
import pytest
import pytest_asyncio

from reconciler.accounts import Account
from reconciler.thin.listing import ThinLists, worth_asking
from sluice.contract.thin import GENERATION_FAILURE, PING
from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.answers import Refusal
from sluice.simulator.stripe_api.faults import Fault, broken
from tests.metrics import counted
from tests.reconciler.passing import HOUR, PLATFORM, Reconciling, logged, reconciling
from tests.reconciler.thin.fetching import NOW, event_of, fetching, intent, settle_fetching, thin
from tests.stripe_world import offline_stripe

OURS = Account(livemode=False, account="acct_1")


@dataclass
class Listing:
    """Looks that a test takes one by one."""

    passing: Reconciling
    lists: ThinLists
    types: Collection[str] = (GENERATION_FAILURE,)

    @property
    def database(self) -> Database:
        """Where what is found is recorded."""
        return self.passing.database

    async def look(self) -> None:
        """Look once at every account."""
        await self.lists.run_once(sorted(self.types))

    def happen(self, body: bytes, *, created: int = NOW, account: str | None = None) -> None:
        """Let a thin event happen whose webhook does not come."""
        if account is not None:
            self.passing.world.accounts.add(account)
        self.passing.world.happened_thinly(body, created=created, account=account)

    async def listed_until(self, account: Account = PLATFORM) -> int | None:
        """The watermark."""
        rows = await self.database.fetch(
            "SELECT extract(epoch FROM thin_complete_until)::bigint AS at FROM reconcile_account WHERE account = $1",
            account.name,
        )
        found: int | None = rows[0]["at"]
        return found


@pytest_asyncio.fixture
async def made(database: Database, role_url: Callable[[str], str]) -> AsyncIterator[Listing]:
    """A reconciler with its own rights, and a Stripe at which nothing has happened."""
    async with (
        Database.connect(role_url("reconciler"), application_name="test") as own,
        reconciling(database, offline_stripe()) as passing,
    ):
        passes = passing.passes
        lists = ThinLists(
            own, passes.apis, passes.errors, passing.lease.holder, _no_types,
            every_seconds=HOUR, first_seconds=HOUR, overlap_seconds=60,
        )  # fmt: skip
        yield Listing(passing, lists)


async def _no_types() -> Collection[str]:
    return ()


def failure(number: int = 1) -> bytes:
    """Stripe could make no event of ``pi_{number}``."""
    return thin(number, type=GENERATION_FAILURE)


async def test_one_that_never_arrived_is_found_and_takes_effect(made: Listing) -> None:
    """It waits for its fetch like one that a webhook brought, and its object is recorded."""
    made.happen(failure())
    await made.look()
    (row,) = await made.database.fetch("SELECT verified_by, processed FROM webhook_logs")
    assert tuple(row) == ("api", False)
    made.passing.world.put_object(intent(), (False, None))
    await settle_fetching(made.database, ["evt_thin_1"])
    async with fetching(made.database, made.passing.world) as fetches:
        await fetches.run()
    assert "payment_intent.fetched" in {
        row["webhook_type"] for row in await made.database.fetch("SELECT webhook_type FROM webhook_logs")
    }


async def test_one_that_came_is_left_as_it_came(made: Listing) -> None:
    """The body that Stripe signed stays."""
    async with fetching(made.database, made.passing.world) as fetches:
        await fetches.wait(failure())
    before = await made.database.fetch("SELECT * FROM webhook_logs")
    made.happen(failure())
    await made.look()
    assert await made.database.fetch("SELECT * FROM webhook_logs") == before


async def test_twins_of_snapshot_events_and_pings_are_not_asked_for(made: Listing) -> None:
    """A pass finds the former, and the latter must come the whole way."""
    made.happen(thin())
    made.happen(thin(2, type=PING))
    await made.look()
    assert not await logged(made.database)


def test_types_that_handlers_take_are_asked_for() -> None:
    """Of those that are thin alone; that Stripe failed to make an event is asked for in any case."""
    handled = ["charge.failed", "v2.money.received", PING]
    assert worth_asking(handled) == [GENERATION_FAILURE, "v2.money.received"]


async def test_more_types_than_one_request_takes(made: Listing) -> None:
    """Twenty at once; each type is asked for."""
    made.types = [f"v2.a.b{number:02}" for number in range(45)]
    for number in (1, 44):
        made.happen(thin(number, type=f"v2.a.b{number:02}"))
    await made.look()
    assert await logged(made.database) == {"evt_thin_1", "evt_thin_44"}
    assert len(made.passing.world.requests) == 3


async def test_many_pages_are_followed(made: Listing) -> None:
    """To the last one."""
    for number in range(250):
        made.happen(failure(number), created=NOW - number)
    await made.look()
    assert len(await logged(made.database)) == 250


async def test_a_connected_accounts_events_bear_its_name(made: Listing) -> None:
    """Also where Stripe's list does not repeat it."""
    await made.passing.expect(PLATFORM, OURS)
    made.happen(failure(), account="acct_1")
    await made.look()
    (row,) = await made.database.fetch("SELECT *, sluice_body(body, body_id) AS whole_body FROM webhook_logs")
    assert (event_of(row).account, orjson.loads(row["whole_body"])["context"]) == ("acct_1", "acct_1")


async def test_the_next_look_begins_a_little_before_the_last(made: Listing) -> None:
    """One that appears late is found within the overlap; older ones are not listed again."""
    await made.look()
    until = await made.listed_until()
    assert until is not None
    made.happen(failure(1), created=until - 30)
    made.happen(failure(2), created=until - 90)
    await made.look()
    assert await logged(made.database) == {"evt_thin_1"}


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (broken(), "stripe_unavailable"),
        (Fault(is_cut_off=True), "stripe_unavailable"),
        (Fault(Refusal(200, "no list")), "stripe_unavailable"),
        (Fault(Refusal(404, "Unrecognized request URL")), "not_there"),
    ],
)
async def test_a_look_that_failed_moves_no_watermark(made: Listing, fault: Fault, outcome: str) -> None:
    """The next one begins where this one began; a counter says why."""
    before = counted("reconcile_thin_lists_total", mode="test", outcome=outcome) or 0
    made.happen(failure())
    made.passing.world.faults.add([fault])
    await made.look()
    assert await made.listed_until() is None
    assert counted("reconcile_thin_lists_total", mode="test", outcome=outcome) == before + 1
    await made.look()
    assert await logged(made.database) == {"evt_thin_1"}


async def test_a_list_that_the_key_does_not_open_holds_up_no_other_account(made: Listing) -> None:
    """That account's list counts as not seen, and the next one is looked at."""
    made.passing.world.accounts.add("acct_1")
    await made.passing.expect(PLATFORM, OURS)
    made.happen(failure())
    made.passing.world.faults.add([Fault(Refusal(403, "The 'rak_event_read' permission"))])
    await made.look()
    assert (await made.listed_until(OURS), await logged(made.database)) == (None, {"evt_thin_1"})


async def test_what_is_no_thin_event_of_this_mode_is_refused_alone(made: Listing) -> None:
    """Its neighbours are recorded, and the watermark moves."""
    made.happen(failure())
    made.happen(thin(2, type=GENERATION_FAILURE, livemode=True))
    listing = made.passing.world.thin_events[False, None]
    wrong = next(iter(made.passing.world.thin_events[True, None]))
    listing.put(wrong)
    await made.look()
    assert await logged(made.database) == {"evt_thin_1"}
    assert await made.listed_until() is not None


async def test_a_replica_that_lost_the_lease_moves_no_watermark(made: Listing) -> None:
    """The events that it found stay, for they are there."""
    await made.database.execute("UPDATE reconcile_lease SET holder = 'another'")
    made.happen(failure())
    await made.look()
    assert (await made.listed_until(), await logged(made.database)) == (None, {"evt_thin_1"})
