"""One pass over one account: everything that Stripe has is in the log, once, and the watermark says so."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest

from reconciler.accounts import Account
from reconciler.by_hand import walk
from reconciler.failures import RightMissing, StripeUnavailable
from reconciler.lease import LeaseLost
from reconciler.listed import read_page
from sluice.contract.document import JsonObject
from sluice.contract.envelope import read_event
from sluice.inbox.recorder import record
from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.answers import Refusal
from sluice.simulator.stripe_api.faults import Fault, broken
from sluice.simulator.stripe_api.listing import Entry, Page
from sluice.simulator.stripe_api.offline_stripe import KEPT_SECONDS, Key, OfflineStripe
from sluice.simulator.stripe_api.query import Wanted
from tests.metrics import counted
from tests.reconciler.passing import HOUR, PLATFORM, Delivered, Reconciling, account_row, deliver, logged, reconciling
from tests.stripe_world import bare_event, offline_stripe

SCOPE = (False, None)


def now() -> int:
    """Seconds since the Unix epoch."""
    return int(time.time())


@pytest.fixture
async def platform(database: Database) -> AsyncIterator[Reconciling]:
    """A reconciler of the platform's account alone, nothing having happened yet."""
    async with reconciling(database, offline_stripe()) as made:
        yield made


def happen(world: OfflineStripe, numbers: range, *, account: str | None = None) -> list[bytes]:
    """Events of these numbers, one each second up to now."""
    bodies = [bare_event(number, created=now() - (numbers[-1] - number), account=account) for number in numbers]
    for body in bodies:
        world.happened(body)
    return bodies


async def test_what_never_arrived_is_recorded_and_due(platform: Reconciling) -> None:
    """A missing event becomes a row that says where it is from, that the relay publishes at its next sweep."""
    bodies = happen(platform.world, range(3))
    await deliver(platform.database, bodies[0], bodies[2])
    walked = await platform.run()
    (row,) = await platform.database.fetch(
        "SELECT *, sluice_body(body, body_id) AS whole_body FROM webhook_logs WHERE stripe_event_id = 'evt_1'"
    )
    (found,) = await platform.database.fetch("SELECT * FROM webhook_found")
    assert (walked.listed, walked.missing, walked.refused) == (3, 1, 0)
    assert (row["verified_by"], row["published_at"], row["processed"]) == ("api", None, False)
    assert row["next_attempt_at"] <= row["created_at"]
    assert orjson.loads(row["whole_body"]) == orjson.loads(bodies[1])
    assert (found["stripe_event_id"], found["source"]) == ("evt_1", "reconcile")


async def test_a_signed_body_is_never_replaced(platform: Reconciling) -> None:
    """A webhook's body stays as Stripe signed it, whatever the API says of the event."""
    (body,) = happen(platform.world, range(1))
    await deliver(platform.database, body + b" ")
    await platform.run()
    (row,) = await platform.database.fetch(
        "SELECT sluice_body(body, body_id) AS whole_body, verified_by FROM webhook_logs"
    )
    assert (row["whole_body"], row["verified_by"]) == (body + b" ", "platform:1a2b3c4d")


async def test_nothing_missing_costs_one_request(platform: Reconciling) -> None:
    """A pass that finds everything there asks once, and moves the watermark to Stripe's time."""
    await deliver(platform.database, *happen(platform.world, range(50)))
    await platform.run()
    assert len(platform.world.requests) == 1
    row = await account_row(platform.database)
    assert abs(int(str(row["complete_at"])) - time.time()) < 5
    assert (row["newest_id"], row["filled"], row["problem"]) == ("evt_49", 0, None)


async def test_many_pages_are_one_pass(platform: Reconciling) -> None:
    """All pages of a hundred are read, each once."""
    happen(platform.world, range(250))
    walked = await platform.run()
    assert (walked.listed, walked.missing, len(platform.world.requests)) == (250, 250, 3)
    assert len(await logged(platform.database)) == 250


async def test_the_next_pass_begins_a_little_before_the_watermark(platform: Reconciling) -> None:
    """An event that appears late, with a second before the watermark, is found within the overlap."""
    happen(platform.world, range(1))
    await platform.run()
    platform.world.happened(bare_event(7, created=now() - 30))
    await platform.run()
    assert await logged(platform.database) == {"evt_0", "evt_7"}


async def test_an_interrupted_pass_goes_on_where_it_stopped(platform: Reconciling) -> None:
    """After a failure on the third page the next call asks for the third page, not for the first."""
    happen(platform.world, range(350))
    platform.world.faults.add([Fault(), Fault(), broken()])
    with pytest.raises(StripeUnavailable):
        await platform.run()
    half = await account_row(platform.database)
    assert (half["pass_listed"], half["pass_missing"], half["pass_cursor"]) == (200, 200, "evt_150")
    assert int(str(half["complete_at"])) <= now() - HOUR + 60
    walked = await platform.run()
    assert (walked.listed, len(platform.world.requests)) == (350, 5)
    assert len(await logged(platform.database)) == 350


async def test_a_cursor_that_is_gone_begins_the_pass_anew(platform: Reconciling) -> None:
    """When the event that the cursor names has left Stripe's list, nothing is skipped."""
    happen(platform.world, range(150))
    platform.world.faults.add([Fault(), broken()])
    with pytest.raises(StripeUnavailable):
        await platform.run()
    listing = platform.world.events[SCOPE]
    listing.remove("evt_50")  # type: ignore[attr-defined]
    await platform.run()
    assert await logged(platform.database) == {f"evt_{number}" for number in range(150)}
    assert (await account_row(platform.database))["pass_cursor"] is None


async def test_the_first_pass_begins_where_it_is_told_to(platform: Reconciling) -> None:
    """A new account is listed from so long ago on, thirty days at most, and an old one from its watermark on."""
    platform.world.happened(bare_event(1, created=now() - KEPT_SECONDS + 60))
    await platform.run()
    assert await logged(platform.database) == set()
    await platform.database.execute("DELETE FROM reconcile_account")
    await platform.expect(first_seconds=KEPT_SECONDS)
    await platform.run()
    assert await logged(platform.database) == {"evt_1"}


async def test_a_connected_accounts_events_bear_its_name(platform: Reconciling) -> None:
    """Stripe need not say whose list it is: each row has the account, and its body too."""
    account = Account(livemode=False, account="acct_7")
    happen(platform.world, range(1), account="acct_7")
    await platform.expect(PLATFORM, account)
    await platform.run(account)
    (row,) = await platform.database.fetch(
        "SELECT stripe_account_id, sluice_body(body, body_id) AS whole_body FROM webhook_logs"
    )
    assert (row["stripe_account_id"], orjson.loads(row["whole_body"])["account"]) == ("acct_7", "acct_7")


async def test_a_missing_right_moves_no_watermark(database: Database) -> None:
    """403 is not "nothing there": the account stays as far behind as it was."""
    world = OfflineStripe([Key("rk_test_poor", frozenset({"rak_charge_read"}))])
    async with reconciling(database, world, key="rk_test_poor") as made:
        before = await account_row(database)
        with pytest.raises(RightMissing, match="rak_event_read"):
            await made.run()
    assert (await account_row(database))["complete_until"] == before["complete_until"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "evt_9", "object": "charge"},
        {"object": "event"},
        {"id": "evt_9", "object": "event", "type": "a.b", "created": 1, "livemode": True},
    ],
)
async def test_what_is_no_event_of_this_mode_is_refused_alone(platform: Reconciling, wrong: dict[str, object]) -> None:
    """An entry that is no event, or of the other mode, is counted; its neighbours are recorded."""
    happen(platform.world, range(2))
    listing = platform.world.events[SCOPE]
    listing.put(Entry("evt_9", now(), wrong))  # type: ignore[attr-defined, arg-type]
    walked = await platform.run()
    assert (walked.listed, walked.missing, walked.refused) == (3, 3, 1)
    assert await logged(platform.database) == {"evt_0", "evt_1"}
    assert (await account_row(platform.database))["refused"] == 1


async def test_a_row_that_postgresql_refuses_is_refused_alone(platform: Reconciling) -> None:
    """One row that breaks a rule of the table does not take the others of its page with it."""
    await platform.database.execute("ALTER TABLE webhook_logs ADD CHECK (stripe_event_id <> 'evt_1')")
    happen(platform.world, range(3))
    walked = await platform.run()
    assert (walked.missing, walked.refused) == (3, 1)
    assert await logged(platform.database) == {"evt_0", "evt_2"}


async def test_a_row_that_postgresql_refused_stays_a_gap_until_it_is_in_the_log(database: Database) -> None:
    """Also when no pass lists it any more; once its cause is mended it can be filled by hand, and the gap closes."""
    world = offline_stripe()
    async with reconciling(database, world, overlap_seconds=0) as made:
        await database.execute("ALTER TABLE webhook_logs ADD CONSTRAINT no_1 CHECK (stripe_event_id <> 'evt_1')")
        world.happened(bare_event(1, created=now() - 60))
        await made.run()
        await made.run()
        row = await account_row(database)
        assert (row["refused"], row["open_ids"]) == (1, ["evt_1"])
        assert counted("reconcile_gap_events", mode="test", account="platform") == 1
        await database.execute("ALTER TABLE webhook_logs DROP CONSTRAINT no_1")
        await walk(database, made.api, PLATFORM, since=now() - HOUR, dry_run=False)
        await made.run()
    row = await account_row(database)
    assert (row["refused"], row["open_ids"], row["open_since"]) == (0, [], None)
    assert counted("reconcile_gap_events", mode="test", account="platform") == 0


@pytest.mark.parametrize(
    "answer", [Refusal(200, "no list"), Refusal(500, "an unknown error"), Refusal(503, "away")], ids=lambda r: r.status
)
async def test_no_list_is_no_empty_list(platform: Reconciling, answer: Refusal) -> None:
    """An answer that is no list fails the pass; the watermark stays."""
    happen(platform.world, range(1))
    before = await account_row(platform.database)
    platform.world.faults.add([Fault(answer)])
    with pytest.raises(StripeUnavailable):
        await platform.run()
    assert (await account_row(platform.database))["complete_until"] == before["complete_until"]


async def test_a_replica_that_lost_the_lease_commits_nothing(platform: Reconciling) -> None:
    """Once another reconciler works, a page of ours is not kept: neither its rows nor the watermark."""
    happen(platform.world, range(1))
    before = await account_row(platform.database)
    await platform.database.execute("UPDATE reconcile_lease SET holder = 'another'")
    with pytest.raises(LeaseLost):
        await platform.run()
    assert await logged(platform.database) == set()
    assert await account_row(platform.database) == before


async def test_a_pass_cut_off_anywhere_keeps_the_watermark_behind(platform: Reconciling) -> None:
    """Wherever a pass is cancelled, what lies before the watermark is in the log."""
    happen(platform.world, range(220))
    for turns in (1, 5, 20, 60, 200):
        task = asyncio.create_task(platform.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        row = await account_row(platform.database)
        is_behind = int(str(row["complete_at"])) < now() - 300
        assert is_behind or len(await logged(platform.database)) == 220
    await platform.run()
    assert len(await logged(platform.database)) == 220


@pytest.mark.parametrize(
    "page",
    [
        {"object": "list", "has_more": True, "data": []},
        {"object": "list", "has_more": True, "data": [{"no": "id"}]},
        {"object": "list", "data": None},
        {"object": "charge", "data": []},
    ],
)
def test_a_list_that_cannot_be_followed_is_no_list(page: JsonObject) -> None:
    """A pass must not begin again from the newest event for ever."""
    with pytest.raises(StripeUnavailable):
        read_page(page, account=None, livemode=False, said_at=0)


@dataclass(frozen=True)
class SamePage:
    """A list whose cursor stands still."""

    first: Page

    def page(self, wanted: Wanted, *, oldest: int) -> Page:
        """The first page, whatever was asked for."""
        del wanted, oldest
        return self.first

    def get(self, entry_id: str, *, oldest: int) -> Entry | None:
        """Nothing."""
        del entry_id, oldest
        return None


async def test_a_page_that_comes_again_and_again_fails_the_pass(platform: Reconciling) -> None:
    """Where Stripe's cursor stands still, the pass stops and is tried again later."""
    happen(platform.world, range(150))
    first = platform.world.events[SCOPE].page(Wanted(limit=100), oldest=0)
    platform.world.events[SCOPE] = SamePage(first)
    with pytest.raises(StripeUnavailable):
        await platform.run()
    assert len(platform.world.requests) == 2


async def test_a_webhook_that_comes_after_all_is_a_duplicate(platform: Reconciling) -> None:
    """Its delivery is noted, and its bytes, which Stripe's API writes otherwise, are no fault; the row stays."""
    (body,) = happen(platform.world, range(1))
    await platform.run()
    later = Delivered(read_event(body + b" "))
    async with platform.database.acquire() as connection:
        (recorded,) = await record(connection, [later], [None], within_seconds=5)
    (row,) = await platform.database.fetch("SELECT verified_by FROM webhook_logs")
    (delivery,) = await platform.database.fetch("SELECT verified_by, body_differs FROM webhook_delivery")
    assert (recorded.is_new, recorded.body_differs) == (False, False)
    assert (row["verified_by"], delivery["verified_by"], delivery["body_differs"]) == ("api", later.verified_by, False)
