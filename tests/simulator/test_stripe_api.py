"""Stripe's API, offline, as the real ``stripe`` library sees it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from sluice.simulator.stripe_api.faults import Fault, broken, too_many
from sluice.simulator.stripe_api.listing import Entry, StoredListing
from sluice.simulator.stripe_api.offline_stripe import KEPT_SECONDS, Key, OfflineStripe
from sluice.simulator.stripe_api.query import Wanted
from sluice.simulator.stripe_api.server import serve
from tests.simulator.gateway import gateway
from tests.stripe_world import TEST_KEY, bare_event, offline_stripe

NOW = int(time.time())
SCOPE = (False, None)


@asynccontextmanager
async def library(world: OfflineStripe, *, key: str = TEST_KEY) -> AsyncIterator[stripe.StripeClient]:
    """The real client, pointed at an offline Stripe."""
    http = stripe.AIOHTTPClient()
    async with serve(world) as base:
        try:
            yield stripe.StripeClient(key, http_client=http, base_addresses={"api": base}, max_network_retries=0)
        finally:
            await http.close_async()  # type: ignore[no-untyped-call]


async def ids_of(listed: AsyncIterator[stripe.Event]) -> Sequence[str]:
    """The ids that automatic paging gives, in its order."""
    return [event.id async for event in listed]


def world_of(count: int) -> OfflineStripe:
    """Events 0 to ``count`` - 1, two of them in each second, up to now."""
    world = offline_stripe(now=NOW)
    for number in range(count):
        world.happened(bare_event(number, created=NOW - (count - number) // 2))
    return world


async def test_pages_give_every_event_once_newest_first() -> None:
    """Automatic paging in hundreds gives every event of the account once, the newest first."""
    world = world_of(250)
    async with library(world) as client:
        listed = await client.v1.events.list_async({"limit": 100})
        found = await ids_of(listed.auto_paging_iter())
    assert found == [f"evt_{number}" for number in range(249, -1, -1)]
    assert len(world.requests) == 3


async def test_paging_before_an_event_goes_towards_newer_ones() -> None:
    """``ending_before`` gives what is newer, the page nearest to the cursor first."""
    async with library(world_of(30)) as client:
        page = await client.v1.events.list_async({"limit": 10, "ending_before": "evt_9"})
        found = await ids_of(page.auto_paging_iter())
    assert [event.id for event in page.data] == [f"evt_{number}" for number in range(19, 9, -1)]
    assert sorted(found) == sorted(f"evt_{number}" for number in range(10, 30))


async def test_filters_leave_out_other_times_and_types() -> None:
    """``created`` and ``types`` each take the events that they name and no others."""
    world = world_of(10)
    world.happened(bare_event(77, created=NOW - 2, event_type="charge.succeeded"))
    async with library(world) as client:
        timed = await client.v1.events.list_async({"created": {"gte": NOW - 2, "lt": NOW - 1}, "limit": 100})
        typed = await client.v1.events.list_async({"types": ["charge.succeeded"], "limit": 100})
    assert {event.created for event in timed.data} == {NOW - 2}
    assert [event.id for event in typed.data] == ["evt_77"]


async def test_what_is_older_than_thirty_days_is_gone() -> None:
    """An event leaves the list, and its own address, when it is 30 days old."""
    world = offline_stripe(now=NOW)
    world.happened(bare_event(1, created=NOW - KEPT_SECONDS))
    world.happened(bare_event(2, created=NOW - KEPT_SECONDS - 1))
    async with library(world) as client:
        listed = await client.v1.events.list_async()
        with pytest.raises(stripe.InvalidRequestError, match="No such event"):
            await client.v1.events.retrieve_async("evt_2")
    assert [event.id for event in listed.data] == ["evt_1"]


async def test_a_connected_account_has_events_of_its_own() -> None:
    """With ``Stripe-Account`` that account's events are listed, and without it the platform's alone."""
    world = world_of(1)
    world.happened(bare_event(50, created=NOW, account="acct_1"))
    async with library(world) as client:
        theirs = await client.v1.events.list_async(options={"stripe_account": "acct_1"})
        ours = await client.v1.events.list_async()
        with pytest.raises(stripe.PermissionError, match="does not have access to account 'acct_2'"):
            await client.v1.events.list_async(options={"stripe_account": "acct_2"})
    assert ([event.id for event in theirs.data], [event.id for event in ours.data]) == (["evt_50"], ["evt_0"])


@pytest.mark.parametrize(
    ("key", "kind", "says"),
    [
        ("rk_test_wrong", stripe.AuthenticationError, "Invalid API Key"),
        ("rk_test_old", stripe.AuthenticationError, "Expired API Key"),
        ("rk_test_poor", stripe.PermissionError, "rak_event_read"),
    ],
)
async def test_a_key_that_does_not_open_is_refused_by_name(key: str, kind: type[stripe.StripeError], says: str) -> None:
    """A wrong key, a revoked one and one without the right each get Stripe's own error."""
    world = OfflineStripe([Key("rk_test_old", is_revoked=True), Key("rk_test_poor", frozenset({"rak_charge_read"}))])
    async with library(world, key=key) as client:
        with pytest.raises(kind, match=says):
            await client.v1.events.list_async()


async def test_too_many_requests_say_when_to_come_again_and_why() -> None:
    """429 has ``Retry-After`` and Stripe's reason in its headers."""
    world = world_of(1)
    world.faults.add([too_many(retry_after_seconds=7, reason="endpoint-rate")])
    async with library(world) as client:
        with pytest.raises(stripe.RateLimitError) as raised:
            await client.v1.events.list_async()
    headers = raised.value.headers or {}
    assert (headers["Retry-After"], headers["Stripe-Rate-Limited-Reason"]) == ("7", "endpoint-rate")


async def test_faults_come_in_order_and_end() -> None:
    """A fault is for one request: 500, then an answer that is cut off, then a good one."""
    world = world_of(1)
    world.faults.add([broken(), Fault(is_cut_off=True)])
    async with library(world) as client:
        with pytest.raises(stripe.APIError):
            await client.v1.events.list_async()
        with pytest.raises(Exception, match=r"(?i)payload|transfer|disconnect|complete"):
            await client.v1.events.list_async()
        assert (await client.v1.events.list_async()).data[0].id == "evt_0"


async def test_an_idempotency_key_gives_the_first_answer_again_and_is_for_one_request() -> None:
    """The same request changes nothing a second time; another one under the same key is refused."""
    world = offline_stripe()
    options: stripe.RequestOptions = {"idempotency_key": "once"}
    async with library(world) as client:
        make = client.v1.webhook_endpoints.create_async
        first, again = [
            await make({"url": "https://pay.example/", "enabled_events": ["charge.failed"]}, options) for _ in range(2)
        ]
        with pytest.raises(stripe.IdempotencyError):
            await make({"url": "https://other.example/", "enabled_events": ["charge.failed"]}, options)
    assert (first.id, first.secret) == (again.id, again.secret)
    assert len(world.endpoints[False]) == 1


async def test_a_late_answer_is_late() -> None:
    """A slow request is answered, and not before its time."""
    world = world_of(1)
    world.faults.add([Fault(late_seconds=0.05)])
    began = asyncio.get_running_loop().time()
    async with library(world) as client:
        await client.v1.events.list_async()
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_an_object_is_there_by_id_and_in_its_list_until_it_is_deleted() -> None:
    """An object is as its newest event says; one that was deleted is 404."""
    world = world_of(3)
    async with library(world) as client:
        found = await client.v1.payment_intents.retrieve_async("pi_1")
        listed = await client.v1.payment_intents.list_async({"limit": 2})
        world.objects[SCOPE]["payment_intent"].remove("pi_1")
        with pytest.raises(stripe.InvalidRequestError) as raised:
            await client.v1.payment_intents.retrieve_async("pi_1")
    assert (found.id, [one.id for one in listed.data]) == ("pi_1", ["pi_2", "pi_1"])
    assert (raised.value.http_status, raised.value.code) == (404, "resource_missing")


async def test_a_thin_event_says_more_when_it_is_fetched() -> None:
    """The second API gives a thin event by id and in its list, with the id of its snapshot twin."""
    world = offline_stripe(now=NOW)
    body = (
        b'{"id":"evt_65","object":"v2.core.event","type":"v1.payment_intent.succeeded","livemode":false,'
        b'"created":"2026-11-30T12:00:00Z","related_object":{"id":"pi_9","type":"payment_intent","url":"/v1/x"}}'
    )
    world.happened_thinly(body, snapshot_event="evt_1", created=NOW - 5)
    async with library(world) as client:
        fetched = await client.v2.core.events.retrieve_async("evt_65")
        about = await client.v2.core.events.list_async({"object_id": "pi_9"})
        of_others = await client.v2.core.events.list_async({"object_id": "pi_8"})
    assert (fetched.id, fetched.snapshot_event) == ("evt_65", "evt_1")
    assert ([event.id for event in about.data], of_others.data) == (["evt_65"], [])


async def test_an_endpoint_is_made_changed_and_listed() -> None:
    """An endpoint is listed without its secret, and changes when it is told to."""
    world = offline_stripe(now=NOW)
    async with library(world) as client:
        made = await client.v1.webhook_endpoints.create_async(
            {"url": "https://host.example/api/stripe-webhook", "enabled_events": ["charge.succeeded"]}
        )
        await client.v1.webhook_endpoints.update_async(made.id, {"disabled": True})
        (listed,) = (await client.v1.webhook_endpoints.list_async()).data
    assert made.secret
    assert (listed.status, listed.enabled_events) == ("disabled", ["charge.succeeded"])
    assert "secret" not in listed.to_dict()


async def test_a_ping_arrives_signed_at_its_destination() -> None:
    """A ping comes to the destination's address, signed with its secret, and can be fetched."""
    world = offline_stripe()
    secret = "whsec_of_the_destination"
    async with gateway() as sluice, library(world) as client:
        world.destinations[False]["ed_1"] = {
            "id": "ed_1",
            "object": "v2.core.event_destination",
            "status": "enabled",
            "livemode": False,
            "webhook_endpoint": {"url": f"{sluice.url}/api/stripe-webhook"},
        }
        world.destination_secrets["ed_1"] = secret
        sent = await client.v2.core.event_destinations.ping_async("ed_1")
        fetched = await client.v2.core.events.retrieve_async(sent.id)
    (arrived,) = sluice.arrived
    stripe.WebhookSignature.verify_header(arrived.body.decode(), arrived.headers["Stripe-Signature"], secret)
    assert fetched.type == "v2.core.event_destination.ping"


@given(created=st.lists(st.integers(0, 5), max_size=12), limit=st.integers(1, 5), data=st.data())
def test_pages_of_any_size_give_the_whole_list(created: list[int], limit: int, data: st.DataObject) -> None:
    """Whatever the seconds and the size of a page, following its last id gives each entry once, newest first."""
    listing = StoredListing("event")
    for number, second in enumerate(created):
        listing.put(Entry(str(number), second, {}))
    oldest = data.draw(st.integers(0, 5))
    found: list[str] = []
    page = listing.page(Wanted(limit=limit), oldest=oldest)
    found += [entry.id for entry in page.entries]
    while page.has_more:
        page = listing.page(Wanted(limit=limit, starting_after=found[-1]), oldest=oldest)
        found += [entry.id for entry in page.entries]
    wanted = [(second, number) for number, second in enumerate(created) if second >= oldest]
    assert found == [str(number) for _, number in sorted(wanted, reverse=True)]
