"""Steps that scenarios are made of."""

from dataclasses import dataclass

from sluice.contract.document import Json, JsonObject
from sluice.simulator.builder import SECONDS_PER_HOUR, ScenarioBuilder
from sluice.simulator.objects import shape

SEPA = "sepa_debit"
_DECLINE = "Your card has insufficient funds."
_PAYMENT_METHOD_PREFIX = "pm"


@dataclass(frozen=True, slots=True)
class Sale:
    """A payment so far: the intent, and the newest charge of it."""

    intent: JsonObject
    charge: JsonObject


def open_session(b: ScenarioBuilder, *, by_reference: bool = False, **fields: Json) -> JsonObject:
    """A buyer is sent to Stripe Checkout; Stripe announces no such thing."""
    session_id = b.new_id("cs")
    named: JsonObject = {"client_reference_id": b.subject.events_id} if by_reference else {"metadata": b.metadata}
    return b.make(
        "checkout.session",
        id=session_id,
        amount_subtotal=b.amount,
        amount_total=b.amount,
        expires_at=b.now + 24 * SECONDS_PER_HOUR,
        url=f"https://checkout.stripe.com/c/pay/{session_id}",
        **{**named, **fields},
    )


def complete_session(b: ScenarioBuilder, session: JsonObject, *, payment_status: str, **fields: Json) -> JsonObject:
    """The buyer has gone through Checkout; that is not yet to have paid."""
    details: JsonObject = {
        "address": {"city": None, "country": "FR", "line1": None, "line2": None, "postal_code": None, "state": None},
        "business_name": None,
        "email": b.buyer_email,
        "individual_name": None,
        "name": b.buyer_name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }
    done = {"status": "complete", "url": None, "payment_status": payment_status, "customer_details": details, **fields}
    return b.changed("checkout.session.completed", session, **done)


def start_intent(b: ScenarioBuilder, *, method: str = "card", **fields: Json) -> JsonObject:
    """A buyer intends to pay."""
    intent_id = b.new_id("pi")
    intent = b.make(
        "payment_intent",
        id=intent_id,
        amount=b.amount,
        client_secret=f"{intent_id}_secret_{b.new_id('x')[2:]}",
        payment_method_types=[method],
        description=b.subject.title,
        **fields,
    )
    b.emit("payment_intent.created", intent)
    return intent


def charge_of(b: ScenarioBuilder, intent: JsonObject, *, method: str = "card", **fields: Json) -> JsonObject:
    """A charge as one attempt at an intent makes it, before it is announced."""
    charge_id = b.new_id("py" if method == SEPA else "ch")
    return b.make(
        "charge",
        id=charge_id,
        amount=intent["amount"],
        billing_details={"email": b.buyer_email, "name": b.buyer_name},
        customer=intent["customer"],
        description=intent["description"],
        metadata=intent["metadata"],
        payment_intent=intent["id"],
        payment_method=b.new_id(_PAYMENT_METHOD_PREFIX),
        payment_method_details=shape(method),
        receipt_url=f"https://pay.stripe.com/receipts/payment/{charge_id}",
        **fields,
    )


def succeed(b: ScenarioBuilder, intent: JsonObject, charge: JsonObject | None = None, *, method: str = "card") -> Sale:
    """The money arrives: the charge and the intent succeed in the same second."""
    charge = charge or charge_of(b, intent, method=method)
    paid = b.changed(
        "charge.succeeded", charge, status="succeeded", paid=True, captured=True, amount_captured=charge["amount"]
    )
    done = b.changed(
        "payment_intent.succeeded",
        intent,
        status="succeeded",
        amount_received=intent["amount"],
        latest_charge=paid["id"],
        payment_method=paid["payment_method"],
        last_payment_error=None,
        next_action=None,
        processing=None,
    )
    return Sale(done, paid)


def book_balance(b: ScenarioBuilder, sale: Sale) -> Sale:
    """A little later Stripe knows what it books: asynchronous capture fills in the balance transaction."""
    b.later(2)
    return Sale(sale.intent, b.changed("charge.updated", sale.charge, balance_transaction=b.new_id("txn")))


def decline(
    b: ScenarioBuilder, intent: JsonObject, *, method: str = "card", code: str = "insufficient_funds"
) -> JsonObject:
    """An attempt fails; the intent asks for another payment method."""
    charge = charge_of(
        b,
        intent,
        method=method,
        status="failed",
        failure_code="card_declined",
        failure_message=_DECLINE,
        outcome={
            "network_status": "declined_by_network",
            "reason": code,
            "seller_message": "The bank returned the decline code.",
            "type": "issuer_declined",
        },
    )
    b.emit("charge.failed", charge)
    error: JsonObject = {
        "charge": charge["id"],
        "code": "card_declined",
        "decline_code": code,
        "doc_url": "https://docs.stripe.com/error-codes/card-declined",
        "message": _DECLINE,
        "type": "card_error",
    }
    return b.changed(
        "payment_intent.payment_failed",
        intent,
        status="requires_payment_method",
        last_payment_error=error,
        latest_charge=charge["id"],
        processing=None,
    )


def process(b: ScenarioBuilder, intent: JsonObject) -> Sale:
    """A slow method is on its way: days for a bank debit."""
    charge = charge_of(b, intent, method=SEPA)
    b.emit("charge.pending", charge)
    slow = b.changed("payment_intent.processing", intent, status="processing", latest_charge=charge["id"])
    return Sale(slow, charge)


def paid_checkout(b: ScenarioBuilder, *, by_reference: bool = False) -> Sale:
    """The plain case, from the basket to the booked money."""
    session = open_session(b, by_reference=by_reference)
    b.later(95)
    sale = succeed(b, start_intent(b))
    complete_session(b, session, payment_status="paid", payment_intent=sale.intent["id"])
    return book_balance(b, sale)
