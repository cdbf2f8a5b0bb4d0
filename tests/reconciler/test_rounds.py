"""When accounts are looked at: each in its own rhythm, by one replica, and at once after trouble."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager

import pytest

from reconciler.accounts import Account, accounts_to_list
from reconciler.lease import Lease
from reconciler.rounds import Choice, Rhythm, Rounds
from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.answers import Refusal
from sluice.simulator.stripe_api.faults import Fault
from sluice.simulator.stripe_api.offline_stripe import PLATFORM_ACCOUNT
from tests.metrics import counted
from tests.reconciler.passing import HOUR, PLATFORM, Reconciling, account_row, logged, reconciling
from tests.stripe_world import bare_event, offline_stripe
from tests.waiting import until

OURS = Account(livemode=False, account="acct_1")


@asynccontextmanager
async def rounds_of(
    made: Reconciling, *, every_seconds: float = HOUR, besides: Collection[str] = ()
) -> AsyncIterator[Rounds]:
    """Rounds that go on for the length of a block."""
    rounds = Rounds(
        made.passes, made.standings, Choice(lambda: {False}, besides=besides), Rhythm(every_seconds=every_seconds)
    )
    task = asyncio.create_task(rounds.run())
    try:
        yield rounds
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def made(database: Database) -> AsyncIterator[Reconciling]:
    """A reconciler's parts."""
    async with reconciling(database, offline_stripe()) as parts:
        yield parts


async def test_every_account_that_the_database_knows_is_listed(made: Reconciling) -> None:
    """Accounts of events rows and of payments, not those of organisers with a URL of their own."""
    await made.database.execute("INSERT INTO events (name, stripe_account_id) VALUES ('a', 'acct_row'), ('b', NULL)")
    (organiser,) = await made.database.fetch(
        "INSERT INTO events (name, stripe_account_id, webhook_secret) VALUES ('c', 'acct_organiser', 'whsec_1')"
        " RETURNING id::text"
    )
    tenant = f"tenant:{organiser['id']}"
    scopes = ["live:acct_paid", "test:acct_tried", "test:platform", tenant, "live:platform", "live:acct_other"]
    await made.database.execute(
        "INSERT INTO payment (scope, payment_id) SELECT s, 'pi_1' FROM unnest($1::text[]) s", scopes
    )
    assert sorted(await made.standings.known_accounts()) == ["acct_other", "acct_paid", "acct_row", "acct_tried"]


def test_settings_add_accounts_and_leave_some_out() -> None:
    """An account that the settings exclude is not listed, the platform's own account included."""
    assert accounts_to_list([True], ["acct_1", "acct_2"], besides=["acct_3"], without=["acct_2", "platform"]) == {
        Account(True, "acct_1"),
        Account(True, "acct_3"),
    }
    assert accounts_to_list([False], []) == {PLATFORM}
    assert accounts_to_list([], ["acct_1"]) == set()


async def test_an_account_without_access_holds_up_no_other(made: Reconciling) -> None:
    """A connected account that has left is noted by its problem; the platform's events are found all the same."""
    made.world.happened(bare_event(1, created=int(time.time())))
    async with rounds_of(made, besides=["acct_1"]):
        await until(lambda: _has_problem(made.database, "account_closed"))
        await until(lambda: _is_logged(made.database, "evt_1"))
    row = await account_row(made.database, OURS)
    assert (row["problem"], row["passed_at"]) == ("account_closed", None)
    assert counted("reconcile_complete_until_timestamp_seconds", mode="test", account="platform")
    assert counted("reconcile_complete_until_timestamp_seconds", mode="test", account="acct_1") is None


async def test_an_account_that_hangs_holds_up_no_other(made: Reconciling) -> None:
    """While Stripe does not answer for one account, another is looked at again and again."""
    made.world.happened(bare_event(5, created=int(time.time()), account="acct_1"))
    made.world.happened(bare_event(1, created=int(time.time())))
    made.world.faults.add([Fault(late_seconds=4)], path="/v1/events")
    async with rounds_of(made, every_seconds=0.05, besides=["acct_1"]):
        await until(lambda: len(_lists(made)) > 5, within_seconds=3)


async def test_an_account_that_catches_up_leaves_the_others_their_turns(database: Database) -> None:
    """With a small budget and many pages of one account, another account's event is found long before the last page."""
    world = offline_stripe()
    now = int(time.time())
    for number in range(3_000):
        world.happened(bare_event(number, created=now - 3_000 + number))
    world.happened(bare_event(9_999, created=now, account="acct_1"))
    async with reconciling(database, world, per_second=20) as made, rounds_of(made, besides=["acct_1"]):
        await until(lambda: _is_logged(database, "evt_9999"))
        assert "evt_0" not in await logged(database)


async def test_a_failed_pass_is_tried_again_soon_and_its_problem_goes_away(made: Reconciling) -> None:
    """After 500 the account is looked at again within seconds, not after its whole interval."""
    made.world.faults.add([Fault(Refusal(500, "an unknown error"))], path="/v1/events")
    made.world.happened(bare_event(1, created=int(time.time())))
    async with rounds_of(made):
        await until(lambda: _is_logged(made.database, "evt_1"))
    assert (await account_row(made.database))["problem"] is None


async def test_after_trouble_every_account_is_looked_at_at_once(made: Reconciling) -> None:
    """When healthd's record says that webhooks were not taken in, no account waits for the interval."""
    async with rounds_of(made):
        await until(lambda: len(_lists(made)) == 1)
        made.world.happened(bare_event(1, created=int(time.time())))
        await made.database.execute(
            "INSERT INTO health_verdict (healthd, began_at, ended_at, status, reasons, pool_timeouts, errors_lost)"
            " VALUES ('a', now() - interval '30 s', now(), 'unhealthy', '{service_down}', 0, 0)"
        )
        await until(lambda: _is_logged(made.database, "evt_1"))


async def test_finding_something_missing_makes_the_next_look_come_sooner(made: Reconciling) -> None:
    """Where one webhook did not arrive, the next ones may not either."""
    made.world.happened(bare_event(1, created=int(time.time())))
    async with rounds_of(made, every_seconds=3):
        await until(lambda: len(_lists(made)) >= 2, within_seconds=2)


async def test_of_two_reconcilers_one_works_and_the_other_takes_over(database: Database) -> None:
    """The second begins when the first has given the lease back, or died."""
    first, second = Lease(database, lease_seconds=1), Lease(database, lease_seconds=1)
    one, other = asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(first.while_held(_forever(one)))
    await one.wait()
    waiting = asyncio.create_task(second.while_held(_forever(other)))
    await asyncio.sleep(0)
    assert not await second._take()
    assert (first.is_held, second.is_held) == (True, False)
    working.cancel()
    await asyncio.wait([working])
    await asyncio.wait_for(other.wait(), 5)
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_work_ends_when_another_takes_the_lease(database: Database) -> None:
    """A reconciler that loses the lease stops its work."""
    lease, began = Lease(database, lease_seconds=1), asyncio.Event()
    working = asyncio.create_task(lease.while_held(_forever(began)))
    await began.wait()
    await database.execute("UPDATE reconcile_lease SET holder = 'another', until = 'infinity'")
    await asyncio.wait_for(working, 5)
    assert not lease.is_held


async def test_the_platforms_own_account_is_no_connected_one(made: Reconciling) -> None:
    """An events row may name it; its events are listed once, as the platform's."""
    async with rounds_of(made, besides=[PLATFORM_ACCOUNT]):
        await until(lambda: len(_lists(made)) == 1)
    rows = await made.database.fetch("SELECT account FROM reconcile_account")
    assert [row["account"] for row in rows] == ["platform"]


async def test_a_reconciler_that_gets_the_lease_back_goes_on(made: Reconciling) -> None:
    """After it lost the lease and has it again, every account is looked at again."""
    async with rounds_of(made) as rounds:
        await until(lambda: len(_lists(made)) == 1)
    again = asyncio.create_task(rounds.run())
    await until(lambda: len(_lists(made)) == 2)
    again.cancel()
    await asyncio.wait([again])


async def test_an_account_that_is_left_out_for_a_while_keeps_its_watermark(made: Reconciling) -> None:
    """It is no gap meanwhile, and is listed from where it was when it comes back; a mode without a key stays a gap."""
    await made.expect(PLATFORM, OURS)
    await made.run()
    before = await account_row(made.database)
    await made.expect(OURS)
    assert not (await account_row(made.database))["is_listed"]
    await made.standings.expect([], first_seconds=HOUR)
    assert (await account_row(made.database, OURS))["is_listed"]
    await made.expect(PLATFORM, OURS)
    after = await account_row(made.database)
    assert (after["is_listed"], after["complete_until"]) == (True, before["complete_until"])


def _forever(began: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        began.set()
        await asyncio.Event().wait()

    return work


def _lists(made: Reconciling) -> Sequence[str]:
    return [asked for asked in made.world.requests if asked.startswith("/v1/events")]


async def _is_logged(database: Database, event_id: str) -> bool:
    return event_id in await logged(database)


async def _has_problem(database: Database, problem: str) -> bool:
    rows = await database.fetch("SELECT FROM reconcile_account WHERE problem = $1", problem)
    return bool(rows)
