"""Buying a ticket: at once, slowly, at the second try, or not at all."""

from sluice.contract.document import JsonObject
from sluice.simulator.builder import SECONDS_PER_HOUR, ScenarioBuilder
from sluice.simulator.objects import fill
from sluice.simulator.scenarios.steps import (
    SEPA,
    book_balance,
    charge_of,
    complete_session,
    decline,
    open_session,
    paid_checkout,
    process,
    start_intent,
    succeed,
)

_MANUAL = "manual"


def checkout_paid(b: ScenarioBuilder) -> None:
    """A card pays at once."""
    paid_checkout(b)


def reference_paid(b: ScenarioBuilder) -> None:
    """A payment link that knows the events row by its client_reference_id alone."""
    paid_checkout(b, by_reference=True)


def free_ticket(b: ScenarioBuilder) -> None:
    """A voucher pays it all: a session without an intent."""
    b.amount = 0
    session = open_session(b)
    b.later(40)
    complete_session(b, session, payment_status="no_payment_required")


def delayed_paid(b: ScenarioBuilder) -> None:
    """A bank debit: the session completes unpaid, the money comes hours later."""
    session = open_session(b, payment_method_types=[SEPA])
    b.later(70)
    sale = process(b, start_intent(b, method=SEPA))
    done = complete_session(b, session, payment_status="unpaid", payment_intent=sale.intent["id"])
    b.later(6 * SECONDS_PER_HOUR)
    sale = succeed(b, sale.intent, sale.charge)
    b.changed("checkout.session.async_payment_succeeded", done, payment_status="paid")
    book_balance(b, sale)


def delayed_failed(b: ScenarioBuilder) -> None:
    """A bank debit that bounces."""
    session = open_session(b, payment_method_types=[SEPA])
    b.later(70)
    sale = process(b, start_intent(b, method=SEPA))
    done = complete_session(b, session, payment_status="unpaid", payment_intent=sale.intent["id"])
    b.later(6 * SECONDS_PER_HOUR)
    b.changed("charge.failed", sale.charge, status="failed", failure_code="insufficient_funds")
    b.changed("payment_intent.payment_failed", sale.intent, status="requires_payment_method")
    b.emit("checkout.session.async_payment_failed", done, by_request=False)


def delayed_processing(b: ScenarioBuilder) -> None:
    """A bank debit that is still on its way when the day ends."""
    session = open_session(b, payment_method_types=[SEPA])
    b.later(70)
    sale = process(b, start_intent(b, method=SEPA))
    complete_session(b, session, payment_status="unpaid", payment_intent=sale.intent["id"])


def declined_then_paid(b: ScenarioBuilder) -> None:
    """The first card is refused, the second pays."""
    session = open_session(b)
    b.later(60)
    intent = decline(b, start_intent(b))
    b.later(45)
    sale = succeed(b, intent)
    complete_session(b, session, payment_status="paid", payment_intent=sale.intent["id"])
    book_balance(b, sale)


def declined(b: ScenarioBuilder) -> None:
    """The card is refused and the buyer gives up."""
    decline(b, start_intent(b, metadata=b.metadata))


def three_d_secure(b: ScenarioBuilder) -> None:
    """The bank wants the buyer to confirm, and the buyer has not yet."""
    intent = start_intent(b, metadata=b.metadata)
    b.later(3)
    action: JsonObject = {
        "redirect_to_url": {
            "return_url": "https://tickets.example/back",
            "url": "https://hooks.stripe.com/3d_secure_2",
        },
        "type": "redirect_to_url",
    }
    b.changed("payment_intent.requires_action", intent, status="requires_action", next_action=action)


def authorized(b: ScenarioBuilder) -> None:
    """A deposit is held on the card, not taken."""
    _authorize(b)


def authorized_then_captured(b: ScenarioBuilder) -> None:
    """A deposit is held on the card, and taken at the door."""
    intent, charge = _authorize(b)
    b.later(4 * SECONDS_PER_HOUR)
    amount = intent["amount"]
    taken = b.changed("charge.captured", charge, captured=True, amount_captured=amount)
    b.changed(
        "payment_intent.succeeded",
        intent,
        status="succeeded",
        amount_capturable=0,
        amount_received=amount,
        latest_charge=taken["id"],
    )


def canceled(b: ScenarioBuilder) -> None:
    """The basket is emptied before it was paid."""
    intent = start_intent(b, metadata=b.metadata)
    b.later(SECONDS_PER_HOUR)
    b.changed(
        "payment_intent.canceled",
        intent,
        status="canceled",
        canceled_at=b.now,
        cancellation_reason="requested_by_customer",
    )


def expired(b: ScenarioBuilder) -> None:
    """A day later the buyer has not come back to Checkout."""
    session = open_session(b)
    b.later(23 * SECONDS_PER_HOUR)
    gone = fill(session, {"status": "expired", "url": None})
    b.emit("checkout.session.expired", gone, by_request=False)


def _authorize(b: ScenarioBuilder) -> tuple[JsonObject, JsonObject]:
    intent = start_intent(b, metadata=b.metadata, capture_method=_MANUAL)
    b.later(3)
    charge = charge_of(b, intent, status="succeeded", paid=True)
    b.emit("charge.succeeded", charge)
    held = b.changed(
        "payment_intent.amount_capturable_updated",
        intent,
        status="requires_capture",
        amount_capturable=intent["amount"],
        latest_charge=charge["id"],
    )
    return held, charge
