"""Subscriptions: the session only links, the intents of the invoices are the payments."""

from sluice.contract.document import Json, JsonObject
from sluice.simulator.builder import SECONDS_PER_HOUR, ScenarioBuilder
from sluice.simulator.objects import fill
from sluice.simulator.scenarios.steps import (
    Sale,
    book_balance,
    complete_session,
    decline,
    open_session,
    start_intent,
    succeed,
)

_DAY = 24 * SECONDS_PER_HOUR


def subscription_renewed(b: ScenarioBuilder) -> None:
    """A day pass that is bought and renewed."""
    subscription, customer = _subscribe(b)
    b.later(20 * SECONDS_PER_HOUR)
    invoice = _invoice(b, subscription, customer, reason="subscription_cycle")
    _pay(b, invoice, start_intent(b, customer=customer["id"]))
    b.changed("customer.subscription.updated", subscription, latest_invoice=invoice["id"])


def subscription_lapsed(b: ScenarioBuilder) -> None:
    """A day pass whose renewal is refused, and that ends; the first day stays paid."""
    subscription, customer = _subscribe(b)
    b.later(20 * SECONDS_PER_HOUR)
    invoice = _invoice(b, subscription, customer, reason="subscription_cycle")
    decline(b, start_intent(b, customer=customer["id"]))
    attempted: JsonObject = {"attempted": True, "attempt_count": 1, "next_payment_attempt": b.now + _DAY}
    invoice = b.changed("invoice.payment_failed", invoice, **attempted)
    overdue = b.changed("customer.subscription.updated", subscription, status="past_due", latest_invoice=invoice["id"])
    b.later(SECONDS_PER_HOUR)
    ended: JsonObject = {
        "status": "canceled",
        "canceled_at": b.now,
        "ended_at": b.now,
        "cancellation_details": {"reason": "payment_failed"},
    }
    b.changed("customer.subscription.deleted", overdue, **ended)
    b.changed(
        "invoice.voided", invoice, status="void", next_payment_attempt=None, status_transitions={"voided_at": b.now}
    )


def _subscribe(b: ScenarioBuilder) -> tuple[JsonObject, JsonObject]:
    session = open_session(b, mode="subscription", payment_method_collection="always")
    b.later(80)
    customer = b.make("customer", id=b.new_id("cus"), email=b.buyer_email, name=b.buyer_name, currency=b.currency)
    b.emit("customer.created", customer)
    subscription = _subscription(b, customer)
    b.emit("customer.subscription.created", subscription)
    invoice = _invoice(b, subscription, customer, reason="subscription_create")
    _pay(b, invoice, start_intent(b, customer=customer["id"], setup_future_usage="off_session"))
    active = b.changed("customer.subscription.updated", subscription, status="active", latest_invoice=invoice["id"])
    linked: JsonObject = {"subscription": active["id"], "invoice": invoice["id"], "customer": customer["id"]}
    complete_session(b, session, payment_status="paid", **linked)
    return active, customer


def _subscription(b: ScenarioBuilder, customer: JsonObject) -> JsonObject:
    subscription_id = b.new_id("sub")
    price: JsonObject = {
        "id": b.new_id("price"),
        "object": "price",
        "active": True,
        "currency": b.currency,
        "product": b.new_id("prod"),
        "recurring": {"interval": "day", "interval_count": 1, "usage_type": "licensed"},
        "type": "recurring",
        "unit_amount": b.amount,
    }
    item: JsonObject = {
        "id": b.new_id("si"),
        "object": "subscription_item",
        "created": b.now,
        "current_period_end": b.now + _DAY,
        "current_period_start": b.now,
        "metadata": {},
        "price": price,
        "quantity": 1,
        "subscription": subscription_id,
    }
    return b.make(
        "subscription",
        id=subscription_id,
        billing_cycle_anchor=b.now,
        customer=customer["id"],
        items={"data": [item], "url": f"/v1/subscription_items?subscription={subscription_id}"},
        start_date=b.now,
    )


def _invoice(b: ScenarioBuilder, subscription: JsonObject, customer: JsonObject, *, reason: str) -> JsonObject:
    due: dict[str, Json] = dict.fromkeys(
        ("amount_due", "amount_remaining", "subtotal", "subtotal_excluding_tax", "total"), b.amount
    )
    invoice = b.make(
        "invoice",
        id=b.new_id("in"),
        billing_reason=reason,
        customer=customer["id"],
        customer_email=b.buyer_email,
        customer_name=b.buyer_name,
        parent={
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": subscription["id"]},
            "type": "subscription_details",
        },
        period_end=b.now,
        period_start=b.now,
        **due,
    )
    b.emit("invoice.created", invoice, by_request=False)
    final: JsonObject = {
        "status": "open",
        "number": "SLUICE-0001",
        "effective_at": b.now,
        "status_transitions": {"finalized_at": b.now},
    }
    return b.changed("invoice.finalized", invoice, **final)


def _pay(b: ScenarioBuilder, invoice: JsonObject, intent: JsonObject) -> Sale:
    sale = succeed(b, intent)
    paid: JsonObject = {
        "status": "paid",
        "amount_paid": b.amount,
        "amount_remaining": 0,
        "attempted": True,
        "attempt_count": 1,
        "status_transitions": {"paid_at": b.now},
    }
    settled = b.changed("invoice.paid", invoice, **paid)
    b.emit("invoice.payment_succeeded", settled)
    link = b.make(
        "invoice_payment",
        id=b.new_id("inpay"),
        invoice=invoice["id"],
        amount_requested=b.amount,
        payment={"payment_intent": intent["id"]},
    )
    done: JsonObject = {"status": "paid", "amount_paid": b.amount, "status_transitions": {"paid_at": b.now}}
    b.emit("invoice_payment.paid", fill(link, done))
    return book_balance(b, sale)
