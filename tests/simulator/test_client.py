from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import cast

from stripe import SignatureVerificationError, WebhookSignature

from sluice.simulator.backoff import HOURS_BETWEEN_ATTEMPTS
from sluice.simulator.builder import Subject
from sluice.simulator.client import Endpoint, send
from sluice.simulator.day import send_day
from sluice.simulator.deliveries import Delivery, Reason, ScenarioRun, in_order
from sluice.simulator.stripe_api.listing import StoredListing
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from sluice.simulator.troubles import Troubles
from tests.simulator.gateway import Arrived, gateway
from tests.simulator.test_deliveries import TROUBLES, demo_events

HURRY = 0.001


def deliveries(scenario: str = "checkout_paid") -> Sequence[Delivery]:
    """One scenario in order."""
    return in_order(ScenarioRun.of(scenario, Subject("Night", "1"), secret="whsec_a"), seed="1", ends_at=1_900_000_000)


def at_once(url: str, concurrency: int = 32) -> Endpoint:
    """An endpoint that is sent everything now, and hours fly by."""
    return Endpoint(url, concurrency=concurrency, in_real_time=False, seconds_for_an_hour=HURRY)


async def test_what_arrives_is_what_was_signed() -> None:
    """The body arrives byte for byte, with a fresh signature and Stripe's content type."""
    async with gateway() as fake:
        answers = await send(at_once(fake.url), deliveries())
    assert all(answer.is_as_expected for answer in answers)
    assert {one.body for one in fake.arrived} == {one.event.body for one in deliveries()}
    for one in fake.arrived:
        assert WebhookSignature.verify_header(one.body, one.headers["Stripe-Signature"], "whsec_a", tolerance=300)
        assert one.headers["Content-Type"].startswith("application/json")


async def test_an_answer_that_is_not_2xx_is_tried_again_until_it_is() -> None:
    """503 twice, then 200: three attempts, and the last one counts."""
    async with gateway(lambda _one, before: 503 if before < 2 else 200) as fake:
        [answer] = await send(at_once(fake.url), deliveries()[:1])
    assert [attempt.http_status for attempt in answer.attempts] == [503, 503, 200]
    assert answer.attempts[0].explanation == "said so"
    assert answer.is_as_expected


async def test_stripe_gives_up_in_the_end() -> None:
    """A redirect is a failure too; after the last pause the delivery stays failed."""
    async with gateway(lambda _one, _before: 302) as fake:
        [answer] = await send(at_once(fake.url), deliveries()[:1])
    assert len(fake.arrived) == len(answer.attempts) == 1 + len(HOURS_BETWEEN_ATTEMPTS)
    assert {attempt.http_status for attempt in answer.attempts} == {302}
    assert not answer.is_as_expected


async def test_a_person_sees_a_refusal_at_once() -> None:
    """By hand, 400 is not tried again; 503 still is."""
    async with gateway(lambda _one, before: (503, 400, 200)[before]) as fake:
        hand = replace(at_once(fake.url), retries_refusals=False)
        [answer] = await send(hand, deliveries()[:1])
    assert [attempt.http_status for attempt in answer.attempts] == [503, 400]


async def test_an_absent_gateway_is_an_answer_not_an_error() -> None:
    """Nothing listens: no exception, no status, and the reason in words."""
    async with gateway() as fake:
        url = fake.url
    [answer] = await send(at_once(url), deliveries()[:1])
    assert answer.last.http_status is None
    assert answer.last.explanation


async def test_no_more_than_the_allowed_number_is_under_way() -> None:
    """Concurrency is bounded."""
    async with gateway() as fake:
        fake.work_seconds = 0.005
        await send(at_once(fake.url, concurrency=2), [*deliveries(), *deliveries("refund_full")])
    assert fake.most_under_way == 2


async def test_a_day_is_sent_and_the_forgery_is_refused_once() -> None:
    """Every genuine delivery is answered 200, the forgery 400 and not tried again."""

    def verdict(one: Arrived, _before: int) -> int:
        return 400 if _is_forged(one) else 200

    seen: list[str] = []
    async with gateway(verdict) as fake:
        report = await send_day(
            fake.url,
            "whsec_a",
            events=demo_events(),
            seed=5,
            progress=lambda answer: seen.append(answer.delivery.scenario),
        )
    assert report.is_as_expected
    assert report.forgeries_refused == 1
    assert len(seen) == len(report.answers) == len(fake.arrived)
    assert len(report.latencies_seconds) == len(fake.arrived)
    assert {answer.delivery.reason for answer in report.answers} == set(Reason) - TROUBLES


async def test_a_day_with_troubles_loses_some_webhooks_that_stripes_api_knows() -> None:
    """A lost webhook is never taken in, and the API lists its event; an organiser's own account is not the API's."""
    stripe, places = OfflineStripe([]), {"ingest": "up", "endpoint": "enabled"}

    @asynccontextmanager
    async def meanwhile(part: str, state: str) -> AsyncIterator[None]:
        before, places[part] = places[part], state
        yield
        places[part] = before

    def verdict(one: Arrived, _before: int) -> int:
        if places["ingest"] == "away":
            return 503
        return 400 if _is_forged(one) else 200

    troubles = Troubles(
        stripe, partial(meanwhile, "ingest", "away"), partial(meanwhile, "endpoint", "disabled")
    )  # fmt: skip
    async with gateway(verdict) as fake:
        report = await send_day(fake.url, "whsec_a", events=demo_events(), seed=5, troubles=troubles)
    listed = {entry.id for listing in stripe.events.values() for entry in cast(StoredListing, listing)}
    lost = {one.event.stripe_event_id for one in report.lost}
    taken = {answer.delivery.event.stripe_event_id for answer in report.answers if answer.last.http_status == 200}
    assert report.is_as_expected
    assert {one.reason for one in report.lost} == TROUBLES
    assert len(lost) == len(report.lost)
    assert lost <= listed
    assert not lost & taken
    assert {f"{one.event.stripe_event_id}Thin" for one in report.lost if one.reason is Reason.THIN} <= taken
    assert "organiser_paid" not in {
        answer.delivery.scenario for answer in report.answers if answer.delivery.event.stripe_event_id in listed
    }


def _is_forged(one: Arrived) -> bool:
    secrets = ["whsec_a", *(event.webhook_secret or "whsec_a" for event in demo_events())]
    return not any(_verifies(one, secret) for secret in secrets)


def _verifies(one: Arrived, secret: str) -> bool:
    try:
        return bool(WebhookSignature.verify_header(one.body, one.headers["Stripe-Signature"], secret, tolerance=300))
    except SignatureVerificationError:
        return False
