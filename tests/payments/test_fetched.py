"""Objects as they were fetched: alone they tell the right state, and beside webhooks they change none."""

from collections import defaultdict
from collections.abc import Collection, Mapping

import orjson
import pytest

from reconciler.as_fetched import as_event
from sluice.contract.document import Json, JsonObject
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.payments.facts import Fact
from sluice.payments.fetched import FETCHED_TYPES
from sluice.payments.fold import fold
from sluice.payments.reading import facts_of
from sluice.payments.status import PaymentStatus
from sluice.simulator.catalog import SCENARIOS
from tests.stripe_world import run

NOW = 1_790_000_000


def statuses(events: Collection[StripeEvent]) -> Mapping[str, PaymentStatus | None]:
    """The status of every payment that has one."""
    facts: defaultdict[str, list[Fact]] = defaultdict(list)
    for event in events:
        for fact in facts_of(event):
            facts[fact.payment_id].append(fact)
    told = {payment: fold(said).status for payment, said in facts.items()}
    return {payment: status for payment, status in told.items() if status is not None}


def fetched(thing: JsonObject, *, said_at: int = NOW) -> StripeEvent:
    """The event of one object."""
    return as_event(thing, word=str(thing["object"]), account=None, livemode=False, said_at=said_at)


def history(scenario: str) -> Collection[StripeEvent]:
    """The webhooks of a scenario."""
    return [read_event(event.body) for event in run(scenario, seed="1", ends_at=NOW - 60)]


def as_stripe_keeps(event: StripeEvent, events: Collection[StripeEvent]) -> JsonObject:
    """The object of an event as it is listed, which says more than the event: why it failed, and what paid for it."""
    if event.type == "payment_intent.payment_failed":
        return {**event.object, "last_payment_error": {"code": "card_declined"}}
    if event.object.get("object") == "invoice":
        paid = [one.object for one in events if one.object.get("invoice") == event.object_id and _pays(one)]
        return {**event.object, "payments": {"object": "list", "data": paid}}
    return event.object


def _pays(event: StripeEvent) -> bool:
    return event.object.get("object") == "invoice_payment"


def objects_at_the_end(events: Collection[StripeEvent]) -> Collection[JsonObject]:
    """Each object as the last webhook showed it, of the kinds that are listed."""
    ordered = sorted(events, key=lambda event: event.created)
    newest = {event.object_id: event for event in ordered if event.object.get("object") in FETCHED_TYPES}
    return [as_stripe_keeps(event, events) for key, event in newest.items() if key]


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_objects_beside_all_webhooks_change_no_status(scenario: str) -> None:
    """Whatever happened, it is told already."""
    told = history(scenario)
    beside = [*told, *(fetched(thing) for thing in objects_at_the_end(told))]
    assert statuses(beside) == statuses(told)


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_objects_without_any_webhook_end_in_the_same_statuses(scenario: str) -> None:
    """The first day with Sluice on an old account."""
    told = history(scenario)
    assert statuses([fetched(thing) for thing in objects_at_the_end(told)]) == statuses(told)


def intent(status: str, **other: Json) -> JsonObject:
    """A payment intent."""
    return {"id": "pi_1", "object": "payment_intent", "amount": 4200, "status": status, "livemode": False, **other}


@pytest.mark.parametrize(
    ("thing", "status"),
    [
        (intent("succeeded", amount_received=4200), "paid"),
        (intent("canceled"), "canceled"),
        (intent("requires_capture"), "authorized"),
        (intent("requires_action"), "requires_action"),
        (intent("processing"), "processing"),
        (intent("requires_payment_method"), "pending"),
        (intent("requires_payment_method", last_payment_error={"code": "card_declined"}), "failed"),
        ({"id": "ch_1", "object": "charge", "status": "failed"}, "failed"),
        ({"id": "ch_1", "object": "charge", "status": "failed", "payment_intent": "pi_1"}, "pending"),
        ({"id": "ch_1", "object": "charge", "status": "succeeded", "captured": True, "amount": 42}, "paid"),
        (
            {"id": "re_1", "object": "refund", "status": "succeeded", "amount": 42, "charge": "ch_1"},
            "partially_refunded",
        ),
        ({"id": "du_1", "object": "dispute", "status": "lost", "amount": 42, "charge": "ch_1"}, "charged_back"),
        ({"id": "cs_1", "object": "checkout.session", "status": "expired", "payment_status": "unpaid"}, "expired"),
        ({"id": "cs_1", "object": "checkout.session", "status": "complete", "payment_status": "paid"}, "paid"),
        ({"id": "cs_1", "object": "checkout.session", "status": "complete", "payment_status": "unpaid"}, "pending"),
        ({"id": "cs_1", "object": "checkout.session", "status": "open", "payment_status": "unpaid"}, "pending"),
    ],
)
def test_an_object_alone_tells_the_state_of_its_payment(thing: JsonObject, status: str) -> None:
    """Without any webhook."""
    (found,) = statuses([fetched(thing)]).values()
    assert found is not None
    assert found.value == status


def test_a_later_webhook_wins_over_what_was_fetched() -> None:
    """Of the same second, where its word is the stronger."""
    body = {
        "id": "evt_1",
        "object": "event",
        "created": NOW,
        "livemode": False,
        "type": "payment_intent.processing",
        "data": {"object": intent("processing")},
    }
    signed = read_event(orjson.dumps(body))
    before = fetched(intent("requires_action"), said_at=NOW)
    assert statuses([signed, before]) == {"pi_1": PaymentStatus.PROCESSING}


def test_one_state_of_an_object_has_one_key_whenever_it_is_fetched() -> None:
    """All else that differs between two looks, such as the address of a receipt, makes no other event of it."""
    first = fetched(intent("succeeded", receipt_url="https://pay.stripe.com/1"), said_at=NOW)
    second = fetched(intent("succeeded", receipt_url="https://pay.stripe.com/2"), said_at=NOW + 60)
    other = fetched(intent("canceled"), said_at=NOW)
    assert first.stripe_event_id == second.stripe_event_id != other.stripe_event_id
