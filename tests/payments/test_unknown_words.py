"""Where a status word is unknown, because it is older or newer than this release, the event's type speaks."""

from collections.abc import Mapping

import pytest

from sluice.contract.document import Json
from sluice.contract.event import StripeEvent
from sluice.payments import invoice, subscription
from sluice.payments.facts import Fact, FactKind
from sluice.payments.families import EVENT_TYPES
from sluice.payments.fold import fold
from sluice.payments.reading import facts_of
from tests.payments.history import NOON, PI, SUBSCRIPTION, charge, dispute, event, intent, refund, session

WORD = "a_new_word"
UNKNOWN: tuple[Json, ...] = (WORD, None, "", 7, True, ["succeeded"], {"status": "succeeded"}, "x" * 300, "\0")

FACTS: Mapping[str, str] = {
    "payment_intent.amount_capturable_updated": "authorized",
    "payment_intent.canceled": "canceled",
    "payment_intent.partially_funded": "processing",
    "payment_intent.payment_failed": "failed",
    "payment_intent.processing": "processing",
    "payment_intent.requires_action": "requires_action",
    "payment_intent.succeeded": "paid",
    "checkout.session.async_payment_failed": "failed",
    "checkout.session.async_payment_succeeded": "paid",
    "checkout.session.completed": "processing",
    "checkout.session.expired": "expired",
    "charge.captured": "paid",
    "charge.expired": "expired",
    "charge.failed": "failed",
    "charge.pending": "processing",
    "charge.refunded": "canceled",
    "charge.succeeded": "authorized",
    "invoice_payment.paid": "paid",
    "refund.failed": "failed",
    "charge.dispute.closed": "won",
    "charge.dispute.funds_reinstated": "won",
}
"""
What the fact of a type says. Those that are not here say nothing: of progress, of a refund that it goes through, of a
dispute that it is open.
"""
STATES: Mapping[str, str] = {
    "invoice.created": "draft",
    "invoice.deleted": "deleted",
    "invoice.finalized": "open",
    "invoice.marked_uncollectible": "uncollectible",
    "invoice.overdue": "open",
    "invoice.paid": "paid",
    "invoice.payment_action_required": "open",
    "invoice.payment_failed": "open",
    "invoice.payment_succeeded": "paid",
    "invoice.sent": "open",
    "invoice.voided": "void",
    "customer.subscription.deleted": "canceled",
    "customer.subscription.paused": "paused",
    "customer.subscription.resumed": "active",
}
"""The status of the row. Of a type that is not here: the unknown word itself, or no row where there is none."""
OF_ROWS = sorted(invoice.TYPES.keys() | subscription.TYPES.keys())
OF_PAYMENTS = sorted(EVENT_TYPES.keys() - {*OF_ROWS})
_HELD: Mapping[str, Json] = {"captured": None, "paid": None, "refunded": True, "amount_captured": None}


def told(event_type: str, word: Json) -> StripeEvent:
    """An event whose status is this word; of a charge nothing else tells whether it was captured."""
    fields: dict[str, Json] = {"status": word, "payment_status": word}
    if event_type.startswith("charge.") and event_type.count(".") == 1:
        fields |= {**_HELD, "refunded": event_type == "charge.refunded"}
    return event(event_type, 0, **fields)


def test_the_tables_name_types_that_are_handled() -> None:
    """A name that is misspelt would say nothing."""
    assert {*OF_PAYMENTS} >= FACTS.keys()
    assert {*OF_ROWS} >= STATES.keys()


@pytest.mark.parametrize("word", UNKNOWN, ids=repr)
@pytest.mark.parametrize("event_type", OF_PAYMENTS)
def test_the_type_speaks_for_the_payment(event_type: str, word: Json) -> None:
    """An unknown word of a refund or dispute is kept as it is; it is Stripe's own."""
    (fact,) = facts_of(told(event_type, word))
    kept = word if word == WORD and fact.kind in (FactKind.REFUND, FactKind.DISPUTE) else None
    assert fact.status == (FACTS.get(event_type) or kept)
    assert fold([fact]).status is not None


@pytest.mark.parametrize("word", UNKNOWN, ids=repr)
@pytest.mark.parametrize("event_type", OF_ROWS)
def test_the_type_speaks_for_the_row(event_type: str, word: Json) -> None:
    """Where the type says nothing, the table shows Stripe's word."""
    read = invoice.state if event_type.startswith("invoice.") else subscription.state
    state = read(told(event_type, word))
    expected = STATES.get(event_type) or (word if word == WORD else None)
    assert (None if state is None else state.status) == expected
    facts_of(told(event_type, word))


@pytest.mark.parametrize(("paid", "status"), [(True, "paid"), (False, None), ("yes", None)])
def test_an_invoice_from_before_2018_says_whether_it_was_paid(paid: Json, status: str | None) -> None:
    """It had no status."""
    state = invoice.state(event("invoice.updated", status=None, paid=paid))
    assert (None if state is None else state.status) == status


@pytest.mark.parametrize(
    ("verb", "word", "status"),
    [
        ("requires_action", "requires_source_action", "requires_action"),
        ("created", "requires_source_action", "requires_action"),
        ("created", "requires_source", None),
        ("created", "requires_confirmation", None),
        ("processing", "requires_source", None),
        ("payment_failed", "requires_source", "failed"),
        ("amount_capturable_updated", "requires_capture", "authorized"),
        ("amount_capturable_updated", "succeeded", "paid"),
    ],
)
def test_words_of_intents_from_before_2019(verb: str, word: str, status: str | None) -> None:
    """A payment method was called a source."""
    (fact,) = facts_of(intent(verb, status=word))
    assert fact.status == status


def test_an_intent_that_succeeded_under_an_unknown_word_was_captured() -> None:
    """How much is told as ever."""
    (fact,) = facts_of(intent("succeeded", status=WORD, amount_received=4900))
    assert fact.amount_captured == 4900


@pytest.mark.parametrize("word", ["paid", WORD, None])
@pytest.mark.parametrize("verb", ["succeeded", "captured", "refunded", "updated"])
def test_a_charge_that_was_captured_is_paid_under_any_word(word: str | None, verb: str) -> None:
    """Until 2015-02-18 its status was ``paid``, before that it had none."""
    assert fold(facts_of(charge(verb, status=word, captured=True, paid=True))).status == "paid"


def test_the_word_for_a_charge_until_2015_is_known() -> None:
    """An update says nothing by itself."""
    assert fold(facts_of(charge("updated", status="paid", captured=True, paid=None))).status == "paid"


@pytest.mark.parametrize("word", ["failed", "pending"])
def test_a_known_word_of_a_charge_outweighs_its_type(word: str) -> None:
    """As it ever did."""
    assert fold(facts_of(charge("captured", status=word, captured=True, paid=True))).status != "paid"


@pytest.mark.parametrize(("captured", "status"), [(None, "authorized"), ("yes", "authorized"), (1, "authorized")])
def test_whether_a_charge_was_captured_is_not_guessed(captured: Json, status: str) -> None:
    """Unless its type or the amount captured tells."""
    held = {"captured": captured, "amount_captured": None}
    assert fold(facts_of(charge("succeeded", **held))).status == status  # type: ignore[arg-type]
    assert fold(facts_of(charge("captured", **held))).status == "paid"  # type: ignore[arg-type]
    assert fold(facts_of(charge("succeeded", captured=captured, amount_captured=4900))).status == "paid"


@pytest.mark.parametrize("mode", [None, WORD, 7])
def test_the_mode_of_a_session_is_told_by_what_it_made(mode: Json) -> None:
    """Until 2019 it had none."""
    made: dict[str, Json] = {"mode": mode, "payment_intent": None}
    assert [f.payment_id for f in facts_of(session("completed", mode=mode))] == [PI]
    assert [f.payment_id for f in facts_of(session("completed", subscription=SUBSCRIPTION, **made))] == [SUBSCRIPTION]  # type: ignore[arg-type]
    assert facts_of(session("completed", setup_intent="seti_1", **made)) == ()  # type: ignore[arg-type]
    assert [f.payment_id for f in facts_of(session("completed", **made))] == ["cs_1"]  # type: ignore[arg-type]


def status(*events: StripeEvent) -> str | None:
    """The status of ``pi_1``."""
    return fold(fact for one in events for fact in facts_of(one) if fact.payment_id == PI).status


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ([], "paid"),
        ([-4900], "charged_back"),
        ([-4900, 4900], "paid"),
        ([-6400, 4900], "charged_back"),
        ([None], "paid"),
    ],
)
def test_a_dispute_that_is_closed_with_an_unknown_word_is_closed(amounts: list[int | None], expected: str) -> None:
    """Lost, if the bank has kept the money."""
    moved: Json = [{"amount": amount} for amount in amounts]
    opened = dispute("created", 1)
    closed = dispute("closed", 5, WORD, balance_transactions=moved)
    assert status(intent("succeeded"), opened, closed) == expected
    for later in (dispute("updated", 9, WORD), dispute("funds_withdrawn", 9, WORD)):
        assert status(intent("succeeded"), opened, closed, later) == expected


def test_a_dispute_with_an_unknown_word_is_open() -> None:
    """Until it is closed, or its funds are back."""
    for verb in ("created", "updated", "funds_withdrawn"):
        assert status(intent("succeeded"), dispute(verb, 5, WORD)) == "disputed"
        assert status(intent("succeeded"), dispute("created", 1, "warning_needs_response"), dispute(verb, 5, WORD)) == (
            "disputed"
        )
    assert status(intent("succeeded"), dispute("created", 1), dispute("funds_reinstated", 5, WORD)) == "paid"


def test_old_and_new_words_of_disputes() -> None:
    """``charge_refunded`` until 2014-11-20; whatever begins with ``warning_`` is an inquiry."""
    opened = dispute("created", 1)
    assert status(intent("succeeded"), opened, dispute("closed", 5, "charge_refunded")) == "paid"
    assert status(intent("succeeded"), opened, dispute("updated", 5, "charge_refunded")) == "paid"
    assert status(intent("succeeded"), dispute("closed", 5, "warning_settled")) == "paid"


def test_an_unknown_word_brings_no_failed_refund_back() -> None:
    """Nor does one with a reason for its failure go through."""
    paid = intent("succeeded")
    assert status(paid, refund("created", 1, WORD)) == "refunded"
    assert status(paid, refund("failed", 1, WORD), refund("updated", 5, WORD)) == "paid"
    assert status(paid, refund("updated", 1, "canceled"), refund("updated", 5, WORD)) == "paid"
    assert status(paid, refund("updated", 5, WORD, failure_reason="lost_or_stolen_card")) == "paid"
    assert status(paid, refund("updated", 5, "pending", failure_reason="unknown")) == "refunded"


def test_a_known_word_of_an_invoice_payment_outweighs_its_type() -> None:
    """Only an unknown one leaves it to the type."""
    assert fold(facts_of(event("invoice_payment.paid", status="open"))).status == "pending"


def test_a_status_that_a_later_release_stored_says_nothing() -> None:
    """During a rolling update an older processor folds what a newer one has written."""
    stored = Fact(PI, FactKind.INTENT, NOON, "evt_1", status="a_later_status")
    assert stored.progress is None
    assert fold([stored]).status == "pending"
    assert fold([stored, *facts_of(intent("succeeded"))]).status == "paid"
