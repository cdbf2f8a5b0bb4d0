"""Each family of events becomes facts about a payment."""

import json

import pytest

from sluice.contract.document import Json, JsonObject
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.failures import TooManyFacts
from sluice.payments.fact_builder import FACTS_MAX, FactBuilder
from sluice.payments.facts import Fact, FactKind, NamedBy, Naming
from sluice.payments.reading import facts_of
from tests.payments.history import (
    CHARGE,
    INVOICE,
    PI,
    SESSION,
    SUBSCRIPTION,
    charge,
    dispute,
    event,
    intent,
    names,
    parent,
    refund,
    session,
)


def only(told: StripeEvent) -> Fact:
    """The one fact of an event."""
    (fact,) = facts_of(told)
    return fact


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("created", None),
        ("payment_failed", "failed"),
        ("requires_action", "requires_action"),
        ("processing", "processing"),
        ("partially_funded", "processing"),
        ("amount_capturable_updated", "authorized"),
        ("succeeded", "paid"),
        ("canceled", "canceled"),
    ],
)
def test_an_intent_says_how_far_it_is(verb: str, status: str | None) -> None:
    """A failed intent looks like a new one; the event's type tells them apart."""
    assert only(intent(verb)).status == status


@pytest.mark.parametrize(
    ("verb", "payment_status", "status"),
    [
        ("completed", "paid", "paid"),
        ("completed", "no_payment_required", "paid"),
        ("completed", "unpaid", "processing"),
        ("completed", "", "processing"),
        ("async_payment_succeeded", "paid", "paid"),
        ("async_payment_failed", "unpaid", "failed"),
        ("expired", "unpaid", "expired"),
    ],
)
def test_a_session_says_whether_it_was_paid(verb: str, payment_status: str, status: str | None) -> None:
    """Completion alone is no payment: delayed methods complete unpaid."""
    assert only(session(verb, payment_status=payment_status)).status == status


def test_a_session_without_an_intent_is_a_payment_of_its_own() -> None:
    """A free ticket has no intent to speak for it."""
    assert only(session("completed", payment_intent=None)).payment_id == SESSION


def test_a_setup_session_says_nothing() -> None:
    """It keeps a card for later; no money moves."""
    assert facts_of(session("completed", mode="setup", payment_status="no_payment_required")) == ()


def test_a_subscription_session_only_links() -> None:
    """It names a row for its subscription and invoice, and says nothing of money even when paid."""
    told = session(
        "completed", mode="subscription", payment_intent=None, subscription=SUBSCRIPTION, invoice=INVOICE,
        client_reference_id="row",
    )  # fmt: skip
    namings = (Naming("row", NamedBy.REFERENCE),)
    facts = {fact.payment_id: fact for fact in facts_of(told)}
    assert facts.keys() == {SUBSCRIPTION, INVOICE}
    assert all(fact.kind is FactKind.LINK and fact.namings == namings for fact in facts.values())
    assert facts[INVOICE].parent_id == SUBSCRIPTION


@pytest.mark.parametrize(
    ("verb", "fields", "status"),
    [
        ("captured", {}, "paid"),
        ("updated", {}, "paid"),
        ("succeeded", {"captured": False}, "authorized"),
        ("updated", {"captured": False}, None),
        ("refunded", {"captured": False, "refunded": True}, "canceled"),
        ("expired", {"captured": False}, "expired"),
        ("pending", {"captured": False, "status": "pending"}, "processing"),
        ("failed", {"captured": True, "status": "failed"}, "failed"),
        ("updated", {"captured": False, "status": "failed"}, None),
    ],
)
def test_a_charge_says_whether_it_was_captured(verb: str, fields: dict[str, Json], status: str | None) -> None:
    """``captured`` counts only with ``succeeded``; an update says nothing of progress."""
    assert only(event(f"charge.{verb}", 0, **fields)).status == status


def test_a_charge_without_an_intent_is_a_payment_of_its_own() -> None:
    """So are the refunds and disputes of such a charge."""
    assert only(charge("succeeded", payment_intent=None)).payment_id == CHARGE
    assert only(refund("created", payment_intent=None)).payment_id == CHARGE
    assert only(dispute("created", payment_intent=None)).payment_id == CHARGE


def test_expanded_objects_are_read_like_ids() -> None:
    """Stripe may put the object where its id usually stands."""
    assert only(charge("succeeded", payment_intent={"id": PI, "object": "payment_intent"})).payment_id == PI
    assert only(refund("created", payment_intent=None, charge={"id": CHARGE, "payment_intent": PI})).payment_id == PI
    whole = event("invoice_payment.paid", invoice={"id": INVOICE, "object": "invoice"})
    assert only(whole).parent_id == INVOICE


def test_a_failed_refund_says_so_whatever_its_object_says() -> None:
    """``refund.failed`` is the later word."""
    assert only(refund("failed", status="succeeded")).status == "failed"


def test_an_invoice_leads_from_its_payments_to_its_subscription_in_every_version() -> None:
    """Acacia names the intent on the invoice, Basil and later name the subscription under ``parent``."""
    acacia = {fact.payment_id: fact.parent_id for fact in facts_of(event("invoice.paid", like="invoice.paid.acacia"))}
    assert acacia == {INVOICE: SUBSCRIPTION, PI: INVOICE}
    assert only(event("invoice.paid")).parent_id == SUBSCRIPTION
    listed: JsonObject = {"object": "list", "data": [{"payment": {"type": "payment_intent", "payment_intent": PI}}]}
    assert {fact.payment_id for fact in facts_of(event("invoice.paid", payments=listed))} == {INVOICE, PI}
    assert only(intent("succeeded", invoice=INVOICE)).parent_id == INVOICE


def test_an_invoice_carries_what_its_subscription_names() -> None:
    """The copy of the subscription's metadata binds the subscription, wherever its own events are."""
    told = facts_of(event("invoice.paid", parent=parent(metadata=names("row"))))
    assert [(fact.payment_id, [naming.events_id for naming in fact.namings]) for fact in told] == [
        (INVOICE, []),
        (SUBSCRIPTION, ["row"]),
    ]


def test_a_tenants_event_names_that_tenant_alone() -> None:
    """Whatever row its objects name, an event through an organiser's URL speaks of that organiser's."""
    told = only(intent("succeeded", tenant="mine", metadata=names("yours")))
    assert told.namings == (Naming("mine", NamedBy.TENANT),)


def test_a_session_names_by_metadata_and_by_reference() -> None:
    """Both are kept, the more trusted first: the first may turn out to be no key."""
    told = only(session("completed", metadata=names("one"), client_reference_id="two"))
    assert told.namings == (Naming("one", NamedBy.METADATA), Naming("two", NamedBy.REFERENCE))


@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_a_reference_that_is_not_trusted_names_nothing(mode: str) -> None:
    """On a Payment Link the buyer chooses it; all else that the session says stays."""
    told = session("completed", metadata=names("one"), client_reference_id="two", mode=mode, subscription=SUBSCRIPTION)
    trusted, untrusted = facts_of(told), facts_of(told, trusts_reference=False)
    assert [fact._replace(namings=fact.namings[:1]) for fact in trusted] == list(untrusted)
    assert {fact.namings for fact in untrusted} == {(Naming("one", NamedBy.METADATA),)}
    tenants = session("completed", tenant="mine", client_reference_id="two")
    assert facts_of(tenants, trusts_reference=False) == facts_of(tenants)


@pytest.mark.parametrize("named", ["", "\0", "x" * 256, "\ud800", 7, None, [], {}])
def test_a_name_that_postgresql_cannot_hold_names_nothing(named: Json) -> None:
    """NUL, lone surrogates and novels are no keys; nor may they fail the event."""
    told = intent("succeeded")
    object.__setattr__(told, "payload", {"data": {"object": {**told.object, "metadata": {"event_id": named}}}})
    assert only(told).namings == ()


@pytest.mark.parametrize(
    "told",
    [
        event("invoice.upcoming", id=None),
        event("payment_intent.succeeded", id=7),
        event("refund.created", payment_intent=None, charge=None),
        event("charge.dispute.created", payment_intent=[], charge={}),
        event("invoice_payment.paid", id=None, payment=None),
        event("customer.subscription.updated", id="in_1"),
        event("invoice.paid", id="sub_1"),
        event("payment_intent.succeeded", object="something.new"),
    ],
    ids=lambda told: told.type,
)
def test_what_lacks_its_ids_says_nothing(told: StripeEvent) -> None:
    """Missing and misshapen fields never raise; and nothing poses as a link of the wrong kind."""
    assert facts_of(told) == ()


def test_numbers_that_no_bigint_holds_are_unknown() -> None:
    """An absurd amount does not fail the event, nor its neighbours' batch."""
    told = only(intent("succeeded", amount=2**63, amount_received=True, created=-1))
    assert (told.amount, told.amount_captured, told.object_created) == (None, None, None)


def test_an_event_that_makes_too_many_facts_is_refused_by_name() -> None:
    """As many as one event may make are read; with one more it can never be applied, and the error says which event."""
    assert len(facts_of(_invoice_of(FACTS_MAX - 1))) == FACTS_MAX
    with pytest.raises(TooManyFacts) as refused:
        facts_of(_invoice_of(FACTS_MAX))
    assert refused.value.stripe_event_id == "evt_many"


def test_an_event_that_makes_too_many_facts_is_not_read_to_its_end() -> None:
    """Its payments are read one by one, and no further than to the first that is too many."""
    builder = FactBuilder(_invoice_of(1))
    rest = iter(map(str, range(2 * FACTS_MAX)))
    with pytest.raises(TooManyFacts):
        builder.each(rest)
    assert next(rest) == str(FACTS_MAX + 1)


def _invoice_of(payments: int) -> StripeEvent:
    listed = [{"payment": {"payment_intent": f"pi_{number}"}} for number in range(payments)]
    invoice = {"id": "in_1", "object": "invoice", "status": "paid", "payments": {"data": listed}}
    body = {"id": "evt_many", "object": "event", "type": "invoice.paid", "created": 1, "livemode": True}
    return read_event(json.dumps({**body, "data": {"object": invoice}}).encode())
