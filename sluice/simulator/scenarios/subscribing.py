"""Subscriptions: the session only links, the intents of the invoices are the payments."""

from sluice.contract.document import Json, JsonObject
from sluice.simulator.builder import SECONDS_PER_HOUR, Telling
from sluice.simulator.objects import fill
from sluice.simulator.scenarios.steps import (
    Sale,
    complete_session,
    decline,
    open_session,
    settle_balance,
    start_intent,
    succeed,
)

_DAY = 24 * SECONDS_PER_HOUR


def subscription_renewed(t: Telling) -> None:
    """A day pass that is bought and renewed."""
    subscription, customer = _subscribe(t)
    t.later(20 * SECONDS_PER_HOUR)
    invoice = _invoice(t, subscription, customer, reason="subscription_cycle")
    _pay(t, invoice, start_intent(t, customer=customer["id"]))
    t.changed("customer.subscription.updated", subscription, latest_invoice=invoice["id"])


def subscription_lapsed(t: Telling) -> None:
    """A day pass whose renewal is refused, and that ends; the first day stays paid."""
    subscription, customer = _subscribe(t)
    t.later(20 * SECONDS_PER_HOUR)
    invoice = _invoice(t, subscription, customer, reason="subscription_cycle")
    decline(t, start_intent(t, customer=customer["id"]))
    attempted: JsonObject = {"attempted": True, "attempt_count": 1, "next_payment_attempt": t.now + _DAY}
    invoice = t.changed("invoice.payment_failed", invoice, **attempted)
    overdue = t.changed("customer.subscription.updated", subscription, status="past_due", latest_invoice=invoice["id"])
    t.later(SECONDS_PER_HOUR)
    ended: JsonObject = {
        "status": "canceled",
        "canceled_at": t.now,
        "ended_at": t.now,
        "cancellation_details": {"reason": "payment_failed"},
    }
    t.changed("customer.subscription.deleted", overdue, **ended)
    t.changed(
        "invoice.voided", invoice, status="void", next_payment_attempt=None, status_transitions={"voided_at": t.now}
    )


def _subscribe(t: Telling) -> tuple[JsonObject, JsonObject]:
    session = open_session(t, mode="subscription", payment_method_collection="always")
    t.later(80)
    customer = t.make("customer", id=t.new_id("cus"), email=t.buyer_email, name=t.buyer_name, currency=t.currency)
    t.say("customer.created", customer)
    subscription = _subscription(t, customer)
    t.say("customer.subscription.created", subscription)
    invoice = _invoice(t, subscription, customer, reason="subscription_create")
    _pay(t, invoice, start_intent(t, customer=customer["id"], setup_future_usage="off_session"))
    active = t.changed("customer.subscription.updated", subscription, status="active", latest_invoice=invoice["id"])
    linked: JsonObject = {"subscription": active["id"], "invoice": invoice["id"], "customer": customer["id"]}
    complete_session(t, session, payment_status="paid", **linked)
    return active, customer


def _subscription(t: Telling, customer: JsonObject) -> JsonObject:
    subscription_id = t.new_id("sub")
    price: JsonObject = {
        "id": t.new_id("price"),
        "object": "price",
        "active": True,
        "currency": t.currency,
        "product": t.new_id("prod"),
        "recurring": {"interval": "day", "interval_count": 1, "usage_type": "licensed"},
        "type": "recurring",
        "unit_amount": t.amount,
    }
    item: JsonObject = {
        "id": t.new_id("si"),
        "object": "subscription_item",
        "created": t.now,
        "current_period_end": t.now + _DAY,
        "current_period_start": t.now,
        "metadata": {},
        "price": price,
        "quantity": 1,
        "subscription": subscription_id,
    }
    return t.make(
        "subscription",
        id=subscription_id,
        billing_cycle_anchor=t.now,
        customer=customer["id"],
        items={"data": [item], "url": f"/v1/subscription_items?subscription={subscription_id}"},
        start_date=t.now,
    )


def _invoice(t: Telling, subscription: JsonObject, customer: JsonObject, *, reason: str) -> JsonObject:
    due: dict[str, Json] = dict.fromkeys(
        ("amount_due", "amount_remaining", "subtotal", "subtotal_excluding_tax", "total"), t.amount
    )
    invoice = t.make(
        "invoice",
        id=t.new_id("in"),
        billing_reason=reason,
        customer=customer["id"],
        customer_email=t.buyer_email,
        customer_name=t.buyer_name,
        parent={
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": subscription["id"]},
            "type": "subscription_details",
        },
        period_end=t.now,
        period_start=t.now,
        **due,
    )
    t.say("invoice.created", invoice, by_request=False)
    final: JsonObject = {
        "status": "open",
        "number": "SLUICE-0001",
        "effective_at": t.now,
        "status_transitions": {"finalized_at": t.now},
    }
    return t.changed("invoice.finalized", invoice, **final)


def _pay(t: Telling, invoice: JsonObject, intent: JsonObject) -> Sale:
    sale = succeed(t, intent)
    paid: JsonObject = {
        "status": "paid",
        "amount_paid": t.amount,
        "amount_remaining": 0,
        "attempted": True,
        "attempt_count": 1,
        "status_transitions": {"paid_at": t.now},
    }
    settled = t.changed("invoice.paid", invoice, **paid)
    t.say("invoice.payment_succeeded", settled)
    link = t.make(
        "invoice_payment",
        id=t.new_id("inpay"),
        invoice=invoice["id"],
        amount_requested=t.amount,
        payment={"payment_intent": intent["id"]},
    )
    done: JsonObject = {"status": "paid", "amount_paid": t.amount, "status_transitions": {"paid_at": t.now}}
    t.say("invoice_payment.paid", fill(link, done))
    return settle_balance(t, sale)
