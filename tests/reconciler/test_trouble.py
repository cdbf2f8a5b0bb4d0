"""Trouble at Stripe or on the way there: nothing is lost or comes twice, and no account is held up by another's."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler import stripe_api
from reconciler.account_pass import Passes
from reconciler.accounts import Account
from reconciler.app import configuration
from reconciler.failures import KeyRefused, NotThere
from reconciler.listed import read_page
from reconciler.settings import KEY_NAME
from reconciler.standing import Pass
from sluice.contract.document import Json, decode_object
from sluice.postgres.pool import Database
from sluice.runtime.secrets import RotatingSecret
from sluice.simulator.stripe_api.answers import Refusal, not_found
from sluice.simulator.stripe_api.faults import Fault
from sluice.simulator.stripe_api.listing import Entry, Page, StoredListing
from sluice.simulator.stripe_api.offline_stripe import Key
from sluice.simulator.stripe_api.query import Wanted
from tests.reconciler.asking import asking
from tests.reconciler.passing import PLATFORM, Reconciling, account_row, logged, reconciling
from tests.reconciler.test_rounds import rounds_of
from tests.stripe_world import TEST_KEY, bare_event, offline_stripe
from tests.waiting import until

SCOPE = (False, None)
HOUR = 3600
_GOOD: Mapping[str, Json] = {
    "id": "evt_good",
    "object": "event",
    "type": "a.b",
    "created": int(time.time()),
    "livemode": False,
}
_scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None), max_size=8)
)  # fmt: skip
_any = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
_events = st.fixed_dictionaries(
    {"object": st.just("event") | _scalars},
    optional={
        "id": st.just("evt_a") | _any,
        "type": st.just("charge.failed") | _any,
        "created": st.just(_GOOD["created"]) | _any,
        "livemode": st.booleans() | _any,
        "account": _any,
        "context": _any,
        "api_version": _any,
        "data": st.fixed_dictionaries({"object": _any}) | _any,
    },
)


@pytest.fixture
async def platform(database: Database) -> AsyncIterator[Reconciling]:
    """A reconciler of the platform's account, nothing having happened yet."""
    async with reconciling(database, offline_stripe()) as made:
        yield made


def now() -> int:
    """Seconds since the Unix epoch."""
    return int(time.time())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(entries=st.lists(_events | _any, max_size=4), place=st.integers(0, 4))
async def test_whatever_an_entry_is_its_neighbours_are_recorded(
    platform: Reconciling, entries: Sequence[Json], place: int
) -> None:
    """A page of any JSON is read to its end: each entry is recorded or refused, and PostgreSQL takes the rest."""
    await platform.database.execute("TRUNCATE webhook_logs, webhook_found")
    listed = [*entries[:place], _GOOD, *entries[place:]]
    page = read_page({"object": "list", "data": listed}, account=None, livemode=False, said_at=now())
    assert page.listed == len(listed)
    walked = await platform.passes._keep(PLATFORM, Pass(begins_at=0), page)
    assert walked.listed == len(listed)
    assert "evt_good" in await logged(platform.database)


async def test_an_account_whose_pass_fails_unforeseen_holds_up_no_other(
    platform: Reconciling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is noted as ours, and the account is tried again."""
    whole = Passes.run

    async def run(passes: Passes, account: Account) -> Pass:
        if account.account == "acct_1":
            raise RecursionError
        return await whole(passes, account)

    monkeypatch.setattr(Passes, "run", run)
    platform.world.happened(bare_event(1, created=now()))
    async with rounds_of(platform, every_seconds=0.1, besides=["acct_1"]):
        await until(lambda: _has_problem(platform.database, "defect"))
        platform.world.happened(bare_event(2, created=now()))
        await until(lambda: _are_logged(platform.database, {"evt_1", "evt_2"}))


@pytest.mark.parametrize("hours", [2, -2, 50_000])
async def test_a_clock_at_stripe_that_is_wrong_hides_nothing(
    platform: Reconciling, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """A proxy may write the date of an answer: what happens after a pass is found by the next, whatever that said."""
    monkeypatch.setattr(stripe_api, "_moment", lambda _: now() + hours * HOUR)
    await platform.run()
    assert int(str((await account_row(platform.database))["complete_at"])) <= now()
    platform.world.happened(bare_event(1, created=now()))
    await platform.run()
    assert await logged(platform.database) == {"evt_1"}


@dataclass(frozen=True)
class CursorGone(StoredListing):
    """A list that never knows where to go on."""

    first: Page

    def page(self, wanted: Wanted, *, oldest: int) -> Page:
        """The first page alone."""
        del oldest
        if wanted.starting_after is not None:
            raise not_found("event", wanted.starting_after, param="starting_after", status=400)
        return self.first


async def test_a_list_that_cannot_be_gone_on_with_is_not_begun_for_ever(platform: Reconciling) -> None:
    """Once anew, then the pass has failed, and is tried later; what was listed stays."""
    entries = [Entry(f"evt_{n}", now(), decode_object(bare_event(n, created=now()))) for n in range(100)]
    platform.world.events[SCOPE] = CursorGone(Page(entries, has_more=True))
    async with asyncio.timeout(10):
        with pytest.raises(NotThere):
            await platform.run()
    assert len(platform.world.requests) == 4
    assert len(await logged(platform.database)) == 100


@dataclass(frozen=True)
class Overlapping(StoredListing):
    """Pages that each begin with the last entries of the one before."""

    entries: Sequence[Entry]

    def page(self, wanted: Wanted, *, oldest: int) -> Page:
        """A hundred, of which ten were on the page before."""
        del oldest
        places = {entry.id: place for place, entry in enumerate(self.entries)}
        begin = 0 if wanted.starting_after is None else places[wanted.starting_after] - 9
        return Page(self.entries[begin : begin + wanted.limit], begin + wanted.limit < len(self.entries))


async def test_pages_that_overlap_are_recorded_once(platform: Reconciling) -> None:
    """Each event has one row, and is counted as missing once."""
    entries = [Entry(f"evt_{n}", now() - n, decode_object(bare_event(n, created=now() - n))) for n in range(250)]
    platform.world.events[SCOPE] = Overlapping(entries)
    walked = await platform.run()
    assert (len(await logged(platform.database)), walked.missing) == (250, 250)
    assert (await account_row(platform.database))["filled"] == 250


async def test_an_event_that_changes_between_two_reads_stays_as_it_was_first(platform: Reconciling) -> None:
    """Its row is not touched, and it is no second event."""
    first = bare_event(1, created=now())
    platform.world.happened(first)
    await platform.run()
    platform.world.happened(orjson.dumps({**decode_object(first), "pending_webhooks": 0, "type": "charge.failed"}))
    walked = await platform.run()
    (row,) = await platform.database.fetch("SELECT webhook_type, sluice_body(body, body_id) AS body FROM webhook_logs")
    assert (walked.listed, walked.missing, row["webhook_type"]) == (1, 0, "payment_intent.created")
    assert orjson.loads(row["body"]) == orjson.loads(first)


async def test_a_key_that_is_revoked_and_replaced_while_we_run_costs_no_event(database: Database) -> None:
    """The watermark waits for the good key, and what happened meanwhile is found."""
    world = offline_stripe()
    async with reconciling(database, world) as made:
        await made.run()
        world.keys[TEST_KEY] = Key(TEST_KEY, is_revoked=True)
        world.happened(bare_event(1, created=now()))
        before = await account_row(database)
        with pytest.raises(KeyRefused):
            await made.run()
        assert (await account_row(database))["complete_until"] == before["complete_until"]
        world.keys["rk_test_next"] = Key("rk_test_next")
        made.api._key = lambda: "rk_test_next"
        await made.run()
    assert await logged(database) == {"evt_1"}


async def test_the_platforms_own_account_is_never_taken_for_one_that_left() -> None:
    """Else nothing would tell any more that nothing is listed."""
    world = offline_stripe()
    world.faults.add([Fault(Refusal(403, "no access", code="account_invalid"))])
    async with asking(world) as api:
        with pytest.raises(KeyRefused):
            await api.get("/v1/events")


@pytest.mark.parametrize(("livemode", "told"), [(True, "missing"), (False, "ok")])
def test_a_key_of_the_other_mode_alone_is_none(monkeypatch: pytest.MonkeyPatch, livemode: bool, told: str) -> None:
    """Health is degraded then, for nothing is listed that matters there."""
    monkeypatch.setenv(KEY_NAME, TEST_KEY)
    found = configuration(RotatingSecret(KEY_NAME), livemode=livemode)
    assert found == {"stripe_api_key": told, "modes": ["test"]}


@pytest.mark.parametrize("said", ["inf", "1e999", "nan", "-5", "86400000"])
async def test_a_pause_that_stripe_cannot_mean_ends(said: str) -> None:
    """An hour is the longest that one answer may hold us up."""
    assert 0 <= (stripe_api.seconds_of(said) or 0) <= HOUR


def test_a_pause_may_be_told_as_a_date() -> None:
    """As HTTP allows, and as proxies say it."""
    at = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    assert stripe_api.seconds_of(at) == pytest.approx(30, abs=3)
    assert stripe_api.seconds_of("soon") is None


async def _has_problem(database: Database, problem: str) -> bool:
    return bool(await database.fetch("SELECT FROM reconcile_account WHERE problem = $1", problem))


async def _are_logged(database: Database, ids: set[str]) -> bool:
    return ids <= set(await logged(database))
