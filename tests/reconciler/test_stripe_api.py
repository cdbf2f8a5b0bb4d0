"""Each answer of Stripe's becomes the reconciler's failure or value for it."""

import asyncio
import time

import pytest
from aiohttp import web

from reconciler.budget import Budget
from reconciler.failures import (
    AccountClosed,
    KeyMissing,
    KeyRefused,
    NotThere,
    NotUnderstood,
    RateLimited,
    RightMissing,
    StripeUnavailable,
)
from sluice.failures import Failure
from sluice.simulator.stripe_api.answers import Refusal
from sluice.simulator.stripe_api.faults import Fault, broken, too_many
from sluice.simulator.stripe_api.offline_stripe import Key, OfflineStripe
from tests.reconciler.asking import PLENTY, asking
from tests.stripe_world import bare_event, offline_stripe


class PausesNoted(Budget):
    """A budget that waits for nothing, and notes for how long it was asked to."""

    def __init__(self) -> None:
        super().__init__(PLENTY)
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        """Note it."""
        self.pauses.append(seconds)


async def test_an_answer_is_a_document_and_stripes_time() -> None:
    """A list is a plain document, and the time beside it is Stripe's."""
    world = offline_stripe()
    world.happened(bare_event(1, created=int(time.time())))
    async with asking(world) as api:
        answer = await api.get("/v1/events", {"limit": 100})
    listed = answer.document["data"]
    assert isinstance(listed, list)
    assert [event["id"] for event in listed] == ["evt_1"]
    assert abs(answer.said_at - time.time()) < 5


@pytest.mark.parametrize(
    ("key", "kind"), [("rk_test_wrong", KeyRefused), ("rk_test_old", KeyRefused), (None, KeyMissing)]
)
async def test_a_key_that_opens_nothing_is_told_from_one_that_is_missing(key: str | None, kind: type[Failure]) -> None:
    """A wrong or revoked key is refused; without one nothing is asked."""
    async with asking(OfflineStripe([Key("rk_test_old", is_revoked=True)]), key=key) as api:
        with pytest.raises(kind):
            await api.get("/v1/events")


async def test_a_missing_right_is_named() -> None:
    """403 for want of a right says which one; it is never taken for "nothing there"."""
    async with asking(OfflineStripe([Key("rk_test_poor", frozenset())]), key="rk_test_poor") as api:
        with pytest.raises(RightMissing, match="rak_event_read"):
            await api.get("/v1/events")


async def test_an_account_that_left_is_told_from_a_missing_right() -> None:
    """403 for an account without access is about that account alone."""
    async with asking(offline_stripe()) as api:
        with pytest.raises(AccountClosed):
            await api.get("/v1/events", account="acct_gone")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (broken(), StripeUnavailable),
        (Fault(is_cut_off=True), StripeUnavailable),
        (Fault(late_seconds=5), StripeUnavailable),
        (Fault(Refusal(404, "No such thing", code="resource_missing")), NotThere),
        (Fault(Refusal(400, "No such event", code="resource_missing")), NotThere),
        (Fault(Refusal(400, "Invalid integer: x")), NotUnderstood),
        (Fault(Refusal(402, "no")), NotUnderstood),
    ],
)
async def test_each_fault_has_its_meaning(fault: Fault, kind: type[Failure]) -> None:
    """500, a cut or late answer: try later. 404: not there. Else the request is wrong."""
    world = offline_stripe()
    world.faults.add([fault])
    async with asking(world, request_seconds=0.2) as api:
        with pytest.raises(kind) as raised:
            await api.get("/v1/events")
    assert type(raised.value) is kind


async def test_a_host_that_does_not_answer_is_unavailable() -> None:
    """Where nothing listens, Stripe is unavailable."""
    async with asking(offline_stripe()) as api:
        api._base = "http://127.0.0.1:1"
        with pytest.raises(StripeUnavailable):
            await api.get("/v1/events")


async def test_retry_after_is_obeyed() -> None:
    """After 429 the whole mode waits for as long as Stripe says, and asks again."""
    world, budget = offline_stripe(), PausesNoted()
    world.faults.add([too_many(retry_after_seconds=7), too_many()])
    async with asking(world, budget=budget) as api:
        await api.get("/v1/events")
    assert budget.pauses == [7, 1]
    assert len(world.requests) == 3


@pytest.mark.parametrize(
    "fault", [Fault(is_cut_off=True), broken(), Fault(Refusal(409, "in progress", "idempotency_error"))]
)
async def test_a_change_whose_answer_is_lost_is_made_once_and_answered_again(fault: Fault) -> None:
    """The first answer comes again, with the secret that Stripe shows only there."""
    world, budget = offline_stripe(), PausesNoted()
    world.faults.add([fault])
    async with asking(world, budget=budget) as api:
        answer = await api.post("/v1/webhook_endpoints", {"url": "https://pay.example/"})
    assert [one["id"] for one in world.endpoints[False].values()] == [answer.document["id"]]
    assert str(answer.document["secret"]).startswith("whsec_")
    assert (len(world.requests), budget.pauses) == (2, [1])


async def test_two_changes_alike_are_two() -> None:
    """The idempotency key is of one call, not of what it says."""
    world = offline_stripe()
    async with asking(world) as api:
        for _ in range(2):
            await api.post("/v1/webhook_endpoints", {"url": "https://pay.example/"})
    assert len(world.endpoints[False]) == 2


async def test_a_change_that_never_gets_an_answer_is_told_at_last() -> None:
    """And was made once."""
    world, budget = offline_stripe(), PausesNoted()
    world.faults.hold(Fault(is_cut_off=True))
    async with asking(world, budget=budget) as api:
        with pytest.raises(StripeUnavailable):
            await api.post("/v1/webhook_endpoints", {"url": "https://pay.example/"})
    assert (len(world.requests), len(world.endpoints[False])) == (4, 1)


async def test_a_limit_that_stays_is_told_at_last() -> None:
    """When Stripe goes on refusing, the caller learns of it, with Stripe's reason."""
    world = offline_stripe()
    world.faults.hold(too_many(retry_after_seconds=0, reason="endpoint-concurrency"))
    async with asking(world) as api:
        with pytest.raises(RateLimited) as raised:
            await api.get("/v1/events")
    assert raised.value.reason == "endpoint-concurrency"


async def test_no_failure_carries_what_stripe_said() -> None:
    """A failure's text and causes hold neither the key nor the body."""
    async with asking(OfflineStripe([]), key="rk_test_secret_of_ours") as api:
        with pytest.raises(KeyRefused) as raised:
            await api.get("/v1/events")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert "rk_test" not in str(raised.value)


async def test_a_budget_spends_its_burst_and_then_its_rate() -> None:
    """Two a second with a burst of two: the third waits for half a second, the fourth for another."""
    now, waits = 100.0, []
    budget = Budget(2, clock=lambda: now)
    for _ in range(4):
        wait = budget._wait_seconds()
        waits.append(wait)
        now += wait
        await budget.take()
    assert waits == pytest.approx([0, 0, 0.5, 0.5])


async def test_a_pause_holds_every_caller_until_its_end() -> None:
    """While paused no token is given, however many there are."""
    now = 100.0
    budget = Budget(100, clock=lambda: now)
    budget.pause(3)
    assert budget._wait_seconds() == pytest.approx(3)
    waiting = asyncio.create_task(budget.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    now += 3
    assert budget._wait_seconds() == 0


@pytest.mark.parametrize("status", [200, 403, 404, 502])
async def test_a_page_of_a_proxy_is_no_answer_of_stripes(status: int) -> None:
    """HTML in place of JSON means neither "nothing there" nor a missing right, whatever its status."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text="<html>blocked</html>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with asking(offline_stripe()) as api:
        api._base = "http://{}:{}".format(*runner.addresses[0])
        with pytest.raises(StripeUnavailable):
            await api.get("/v1/events")
    await runner.cleanup()
