"""A thin event that waits ends by what Stripe says of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import orjson
import pytest
import pytest_asyncio

from sluice.contract.document import Json
from sluice.contract.thin import GENERATION_FAILURE
from sluice.inbox.operations import read_states
from sluice.inbox.states import State
from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.faults import Fault, broken, too_many
from sluice.simulator.stripe_api.offline_stripe import Key
from tests.inbox.rows import operate
from tests.reconciler.passing import deliver
from tests.reconciler.thin.fetching import NOW, Fetching, event_of, fetching, intent, snapshot, thin
from tests.stripe_world import TEST_KEY, offline_stripe
from tests.waiting import until

FETCHED = (True, "fetched", False)
UNFETCHABLE = (True, "unfetchable", False)
PLATFORM = (False, None)
ACCOUNT = "acct_1Connected"


@pytest_asyncio.fixture
async def made(database: Database, role_url: Callable[[str], str]) -> AsyncIterator[Fetching]:
    """A reconciler with its own rights, and a Stripe that knows nothing yet."""
    async with (
        Database.connect(role_url("reconciler"), application_name="test") as own,
        fetching(database, offline_stripe(), as_reconciler=own) as made,
    ):
        yield made


async def test_a_thin_event_becomes_its_snapshot_twin(made: Fetching) -> None:
    """The twin stands in the log as its webhook would have brought it, due at once; the thin row says so."""
    made.world.happened(snapshot())
    made.world.happened_thinly(thin(), snapshot_event="evt_1", created=NOW)
    await made.wait(thin())
    await made.run()
    row = await made.row("evt_1")
    assert orjson.loads(row["whole_body"]) == orjson.loads(snapshot())
    assert (row["verified_by"], row["webhook_type"]) == ("api", "payment_intent.succeeded")
    async with made.database.acquire() as connection:
        assert await read_states(connection, ["evt_1"]) == {"evt_1": State.QUEUED}
    assert await made.outcome() == FETCHED
    assert await made.waiting() == []
    (found,) = await made.database.fetch("SELECT source, asked_by FROM webhook_found")
    assert tuple(found) == ("thin", "evt_thin_1")


async def test_a_twin_that_the_webhook_names_costs_one_request(made: Fetching) -> None:
    """Stripe may send ``snapshot_event`` with the thin event itself."""
    made.world.happened(snapshot())
    await made.wait(thin(snapshot_event="evt_1"))
    await made.run()
    assert made.world.requests == ["/v1/events/evt_1"]
    assert await made.outcome() == FETCHED


async def test_a_twin_that_is_here_is_not_fetched_and_not_touched(made: Fetching) -> None:
    """The body that Stripe signed stays byte for byte, and is not due a second time."""
    await deliver(made.database, snapshot())
    before = await made.row("evt_1")
    await made.wait(thin(snapshot_event="evt_1"))
    await made.run()
    assert made.world.requests == []
    assert await made.row("evt_1") == before
    assert await made.outcome() == FETCHED


async def test_an_event_of_a_connected_account_is_asked_for_there(made: Fetching) -> None:
    """And its row says whose it is, so that it counts in that account's scope."""
    made.world.happened(snapshot(account=ACCOUNT))
    made.world.happened_thinly(thin(account=ACCOUNT), snapshot_event="evt_1", account=ACCOUNT, created=NOW)
    await made.wait(thin(account=ACCOUNT))
    await made.run()
    assert event_of(await made.row("evt_1")).scope == f"test:{ACCOUNT}"


async def test_where_the_twin_is_gone_the_object_speaks(made: Fetching) -> None:
    """Under the twin's key, with the plain type: the families know it."""
    made.world.put_object(intent(), PLATFORM)
    made.world.happened_thinly(thin(), snapshot_event="evt_1", created=NOW)
    await made.wait(thin())
    await made.run()
    event = event_of(await made.row("evt_1"))
    assert (event.type, event.object, event.created) == ("payment_intent.succeeded", intent(), NOW)
    assert event.api_version is not None
    assert await made.outcome() == FETCHED


async def test_a_thin_event_without_a_twin_has_a_key_of_its_own(made: Fetching) -> None:
    """Its id is taken by what Stripe signed, which nobody may change."""
    made.world.put_object(intent(), PLATFORM)
    made.world.happened_thinly(thin(), created=NOW)
    await made.wait(thin())
    await made.run()
    assert event_of(await made.row("evt_thin_1~fetched")).object == intent()
    assert bytes((await made.row("evt_thin_1"))["whole_body"]) == thin()


async def test_a_change_is_told_as_previous_attributes(made: Fetching) -> None:
    """As a snapshot event tells it."""
    made.world.put_object(intent(), PLATFORM)
    changes = {"before": {"status": "processing"}, "after": {"status": "succeeded"}}
    await made.wait(thin(snapshot_event="evt_1", changes=changes))
    await made.run()
    data = orjson.loads((await made.row("evt_1"))["whole_body"])["data"]
    assert data["previous_attributes"] == {"status": "processing"}


async def test_an_event_that_stripe_does_not_know_is_unfetchable(made: Fetching) -> None:
    """Older than 30 days, or of another account: the row says so, and nothing is dead."""
    await made.wait(thin())
    await made.run()
    assert await made.outcome() == UNFETCHABLE
    assert (await made.row("evt_thin_1"))["last_error"]
    assert await made.waiting() == []


async def test_an_object_that_was_deleted_is_unfetchable(made: Fetching) -> None:
    """The event is there, its twin and its object are not."""
    made.world.happened_thinly(thin(), snapshot_event="evt_1", created=NOW)
    await made.wait(thin())
    await made.run()
    assert await made.outcome() == UNFETCHABLE


async def test_a_right_that_the_key_lacks_is_named(made: Fetching) -> None:
    """An operator gives the key that right, and replays the event."""
    made.world.keys[TEST_KEY] = Key(TEST_KEY, frozenset())
    made.world.happened(snapshot())
    await made.wait(thin(snapshot_event="evt_1"))
    await made.run()
    assert await made.outcome() == UNFETCHABLE
    assert "rak_event_read" in (await made.row("evt_thin_1"))["last_error"]
    assert made.errors._waiting[-1].severity == "high"


async def test_an_account_that_is_closed_to_our_key_is_unfetchable(made: Fetching) -> None:
    """It never was connected, or has left."""
    await made.wait(thin(account="acct_1Left"))
    await made.run()
    assert await made.outcome() == UNFETCHABLE
    assert "account" in (await made.row("evt_thin_1"))["last_error"]


@pytest.mark.parametrize(
    "related",
    [
        None,
        {"id": "pi_1", "url": "@evil.example/v1/payment_intents/pi_1"},
        {"id": "pi_1", "url": "//evil.example/v1/payment_intents/pi_1"},
        {"id": "pi_1", "url": "https://evil.example/v1/payment_intents/pi_1"},
        {"id": "pi_1", "url": "/v1/payment_intents/../events"},
        {"id": "pi_1", "url": "/v1/payment_intents/pi_1?expand[]=x"},
        {"id": "pi_1", "url": "/v2/x"},
        {"id": "pi_1", "url": 7},
        {"id": {}, "url": "/v1/payment_intents/pi_1"},
    ],
)
async def test_no_key_is_sent_where_a_strange_url_leads(made: Fetching, related: object) -> None:
    """An event that names no object of Stripe's API is unfetchable, and nothing is asked for."""
    await made.wait(orjson.dumps({**orjson.loads(thin(snapshot_event="evt_1")), "related_object": related}))
    await made.run()
    assert made.world.requests == ["/v1/events/evt_1"]
    assert await made.outcome() == UNFETCHABLE


@pytest.mark.parametrize(
    "fault",
    [
        broken(),
        Fault(is_cut_off=True),
        Fault(late_seconds=3),
        too_many(retry_after_seconds=0),
    ],
    ids=["500", "cut off", "late", "429"],
)
async def test_what_stripe_may_give_later_waits(made: Fetching, fault: Fault) -> None:
    """The wait shows why; once Stripe answers, the event takes effect."""
    made.world.happened(snapshot())
    made.world.faults.hold(fault)
    await made.wait(thin(snapshot_event="evt_1"))
    await made.run()
    (waits,) = await made.waiting()
    assert (waits["tries"], await made.outcome()) == (1, (False, "fetching", False))
    assert waits["problem"]
    assert waits["next_try_at"] > waits["asked_at"]
    made.world.faults.hold(None)
    await made.run()
    assert await made.outcome() == FETCHED


async def test_a_revoked_key_loses_nothing(made: Fetching) -> None:
    """The event waits until there is a good one."""
    good = made.world.keys[TEST_KEY]
    made.world.keys[TEST_KEY] = replace(good, is_revoked=True)
    made.world.happened(snapshot())
    await made.wait(thin(snapshot_event="evt_1"))
    await made.run()
    assert await made.outcome() == (False, "fetching", False)
    made.world.keys[TEST_KEY] = good
    await made.run()
    assert await made.outcome() == FETCHED


async def test_without_a_key_everything_waits(database: Database) -> None:
    """And Stripe is asked nothing."""
    async with fetching(database, offline_stripe(), key=None) as made:
        await made.wait(thin())
        await made.run()
        (waits,) = await made.waiting()
        assert "STRIPE_API_KEY" in waits["problem"]
        assert (made.world.requests, await made.outcome()) == ([], (False, "fetching", False))


async def test_an_answer_about_something_else_is_not_believed(made: Fetching) -> None:
    """A body that is not what was asked for is Stripe's trouble, and waits."""
    made.world.happened_thinly(thin(), created=NOW)
    listing = made.world.thin_events[PLATFORM]
    entry = next(iter(listing))
    listing.put(replace(entry, document={**entry.document, "id": "evt_other"}))
    await made.wait(thin())
    await made.run()
    assert await made.outcome() == (False, "fetching", False)


async def test_one_that_cannot_be_fetched_holds_up_no_other(made: Fetching) -> None:
    """Each ends by itself."""
    for number in range(2, 30):
        made.world.happened(snapshot(number))
    await made.wait(*(thin(number, snapshot_event=f"evt_{number}") for number in range(1, 30)))
    await made.run()
    rows = await made.database.fetch("SELECT outcome, count(*) FROM webhook_logs WHERE processed GROUP BY 1")
    assert {row["outcome"]: row["count"] for row in rows} == {"fetched": 28, "unfetchable": 1}


@pytest.mark.parametrize("body", [b"{}", b"\x00", None])
async def test_one_whose_body_is_gone_ends_and_stops_no_other(made: Fetching, body: bytes | None) -> None:
    """An erasure may have taken it."""
    made.world.happened(snapshot(2))
    await made.wait(thin(1), thin(2, snapshot_event="evt_2"))
    await made.database.execute(
        "UPDATE webhook_logs SET body = $1, body_id = NULL WHERE stripe_event_id = 'evt_thin_1'", body
    )
    await made.run()
    assert (await made.outcome(), await made.outcome("evt_thin_2")) == (UNFETCHABLE, FETCHED)


async def test_an_operator_may_have_it_fetched_again(made: Fetching, database: Database) -> None:
    """After the key got its right, say; it waits once more, and takes effect."""
    await made.wait(thin(snapshot_event="evt_1"))
    await made.run()
    async with database.acquire() as connection:
        assert await operate(connection, "replay", ["evt_thin_1"], states=[State.UNFETCHABLE]) == {"evt_thin_1"}
        assert await read_states(connection, ["evt_thin_1"]) == {"evt_thin_1": State.QUEUED}


async def test_a_fetch_that_dies_before_its_commit_leaves_nothing_half_done(made: Fetching, database: Database) -> None:
    """The fact is recorded and the wait is ended together, or neither; the next try does both."""
    made.world.happened(snapshot())
    await made.wait(thin(snapshot_event="evt_1"))
    async with database.acquire() as other, other.transaction():
        await other.execute("SELECT FROM webhook_logs WHERE stripe_event_id = 'evt_thin_1' FOR UPDATE")
        fetching = asyncio.create_task(made.fetches.run_once())
        await until(lambda: _ends_what_waits_for_a_lock(database))
        await fetching
    assert await database.fetch("SELECT FROM webhook_logs WHERE stripe_event_id = 'evt_1'") == []
    assert await made.outcome() == (False, "fetching", False)
    await made.run()
    assert (await made.outcome(), (await made.row("evt_1"))["verified_by"]) == (FETCHED, "api")


async def _ends_what_waits_for_a_lock(database: Database) -> bool:
    ended = await database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(ended)


async def test_the_object_of_an_event_that_stripe_failed_to_make_is_fetched(made: Fetching) -> None:
    """It is recorded as it is now, under a key that no event of Stripe's has."""
    made.world.put_object(intent(), PLATFORM)
    await made.wait(thin(type=GENERATION_FAILURE))
    await made.run()
    (row,) = await made.database.fetch(
        "SELECT stripe_event_id, verified_by FROM webhook_logs WHERE webhook_type = 'payment_intent.fetched'"
    )
    assert row["verified_by"] == "api"
    assert row["stripe_event_id"].startswith("evt_fetched_pi_1~")
    assert await made.outcome() == FETCHED


async def test_a_failure_over_an_object_without_a_payment_ends_unfetchable(made: Fetching) -> None:
    """There is nothing that Sluice could settle by it."""
    made.world.put_object({"id": "cus_1", "object": "customer", "created": NOW}, PLATFORM)
    about: Json = {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"}
    await made.wait(thin(type=GENERATION_FAILURE, related_object=about))
    await made.run()
    assert await made.outcome() == UNFETCHABLE
