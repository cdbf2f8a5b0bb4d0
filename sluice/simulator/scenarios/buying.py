"""Buying a ticket: at once, slowly, at the second try, or not at all."""

from sluice.contract.document import JsonObject
from sluice.simulator.builder import SECONDS_PER_HOUR, Telling
from sluice.simulator.objects import fill
from sluice.simulator.scenarios.steps import (
    SEPA,
    charge_of,
    complete_session,
    decline,
    open_session,
    paid_checkout,
    process,
    settle_balance,
    start_intent,
    succeed,
)

_MANUAL = "manual"


def checkout_paid(t: Telling) -> None:
    """A card pays at once."""
    paid_checkout(t)


def reference_paid(t: Telling) -> None:
    """A payment link that knows the events row by its client_reference_id alone."""
    paid_checkout(t, by_reference=True)


def free_ticket(t: Telling) -> None:
    """A voucher pays it all: a session without an intent."""
    t.amount = 0
    session = open_session(t)
    t.later(40)
    complete_session(t, session, payment_status="no_payment_required")


def delayed_paid(t: Telling) -> None:
    """A bank debit: the session completes unpaid, the money comes hours later."""
    session = open_session(t, payment_method_types=[SEPA])
    t.later(70)
    sale = process(t, start_intent(t, method=SEPA))
    done = complete_session(t, session, payment_status="unpaid", payment_intent=sale.intent["id"])
    t.later(6 * SECONDS_PER_HOUR)
    sale = succeed(t, sale.intent, sale.charge)
    t.changed("checkout.session.async_payment_succeeded", done, payment_status="paid")
    settle_balance(t, sale)


def delayed_failed(t: Telling) -> None:
    """A bank debit that bounces."""
    session = open_session(t, payment_method_types=[SEPA])
    t.later(70)
    sale = process(t, start_intent(t, method=SEPA))
    done = complete_session(t, session, payment_status="unpaid", payment_intent=sale.intent["id"])
    t.later(6 * SECONDS_PER_HOUR)
    t.changed("charge.failed", sale.charge, status="failed", failure_code="insufficient_funds")
    t.changed("payment_intent.payment_failed", sale.intent, status="requires_payment_method")
    t.say("checkout.session.async_payment_failed", done, by_request=False)


def delayed_processing(t: Telling) -> None:
    """A bank debit that is still on its way when the day ends."""
    session = open_session(t, payment_method_types=[SEPA])
    t.later(70)
    sale = process(t, start_intent(t, method=SEPA))
    complete_session(t, session, payment_status="unpaid", payment_intent=sale.intent["id"])


def declined_then_paid(t: Telling) -> None:
    """The first card is refused, the second pays."""
    session = open_session(t)
    t.later(60)
    intent = decline(t, start_intent(t))
    t.later(45)
    sale = succeed(t, intent)
    complete_session(t, session, payment_status="paid", payment_intent=sale.intent["id"])
    settle_balance(t, sale)


def declined(t: Telling) -> None:
    """The card is refused and the buyer gives up."""
    decline(t, start_intent(t, metadata=t.metadata))


def three_d_secure(t: Telling) -> None:
    """The bank wants the buyer to confirm, and the buyer has not yet."""
    intent = start_intent(t, metadata=t.metadata)
    t.later(3)
    action: JsonObject = {
        "redirect_to_url": {
            "return_url": "https://tickets.example/back",
            "url": "https://hooks.stripe.com/3d_secure_2",
        },
        "type": "redirect_to_url",
    }
    t.changed("payment_intent.requires_action", intent, status="requires_action", next_action=action)


def authorized(t: Telling) -> None:
    """A deposit is held on the card, not taken."""
    _authorize(t)


def authorized_then_captured(t: Telling) -> None:
    """A deposit is held on the card, and taken at the door."""
    intent, charge = _authorize(t)
    t.later(4 * SECONDS_PER_HOUR)
    amount = intent["amount"]
    taken = t.changed("charge.captured", charge, captured=True, amount_captured=amount)
    t.changed(
        "payment_intent.succeeded",
        intent,
        status="succeeded",
        amount_capturable=0,
        amount_received=amount,
        latest_charge=taken["id"],
    )


def canceled(t: Telling) -> None:
    """The basket is emptied before it was paid."""
    intent = start_intent(t, metadata=t.metadata)
    t.later(SECONDS_PER_HOUR)
    t.changed(
        "payment_intent.canceled",
        intent,
        status="canceled",
        canceled_at=t.now,
        cancellation_reason="requested_by_customer",
    )


def expired(t: Telling) -> None:
    """A day later the buyer has not come back to Checkout."""
    session = open_session(t)
    t.later(23 * SECONDS_PER_HOUR)
    gone = fill(session, {"status": "expired", "url": None})
    t.say("checkout.session.expired", gone, by_request=False)


def _authorize(t: Telling) -> tuple[JsonObject, JsonObject]:
    intent = start_intent(t, metadata=t.metadata, capture_method=_MANUAL)
    t.later(3)
    charge = charge_of(t, intent, status="succeeded", paid=True)
    t.say("charge.succeeded", charge)
    held = t.changed(
        "payment_intent.amount_capturable_updated",
        intent,
        status="requires_capture",
        amount_capturable=intent["amount"],
        latest_charge=charge["id"],
    )
    return held, charge
