"""Money that goes back: refunds whole, partial and failed."""

from sluice.contract.document import JsonObject
from sluice.simulator.builder import SECONDS_PER_HOUR, Telling
from sluice.simulator.scenarios.steps import Sale, paid_checkout


def refund_full(t: Telling) -> None:
    """The buyer falls ill and gets everything back."""
    sale = paid_checkout(t)
    t.later(3 * SECONDS_PER_HOUR)
    _refund(t, sale, t.amount, already=0)


def refund_partial(t: Telling) -> None:
    """One of the tickets goes back."""
    sale = paid_checkout(t)
    t.later(3 * SECONDS_PER_HOUR)
    _refund(t, sale, t.amount // 4, already=0)


def refund_in_two_parts(t: Telling) -> None:
    """First a part goes back, then the rest."""
    sale = paid_checkout(t)
    t.later(2 * SECONDS_PER_HOUR)
    first = t.amount // 4
    sale, _ = _refund(t, sale, first, already=0)
    t.later(SECONDS_PER_HOUR)
    _refund(t, sale, t.amount - first, already=first)


def refund_failed(t: Telling) -> None:
    """The buyer's bank sends the refund back: the ticket is paid after all."""
    sale = paid_checkout(t)
    t.later(SECONDS_PER_HOUR)
    sale, refund = _refund(t, sale, t.amount, already=0)
    t.later(8 * SECONDS_PER_HOUR)
    failed: JsonObject = {
        "status": "failed",
        "failure_reason": "lost_or_stolen_card",
        "failure_balance_transaction": t.new_id("txn"),
    }
    refund = t.changed("refund.failed", refund, **failed)
    t.say("refund.updated", refund, before={"status": "succeeded"}, by_request=False)
    t.say("charge.refund.updated", refund, before={"status": "succeeded"}, by_request=False)
    t.changed("charge.updated", sale.charge, amount_refunded=0, refunded=False)


def _refund(t: Telling, sale: Sale, amount: int, *, already: int) -> tuple[Sale, JsonObject]:
    refund = t.make(
        "refund",
        id=t.new_id("re"),
        amount=amount,
        charge=sale.charge["id"],
        payment_intent=sale.intent["id"],
        balance_transaction=t.new_id("txn"),
        status="succeeded",
    )
    t.say("refund.created", refund)
    returned = already + amount
    charge = t.changed("charge.refunded", sale.charge, amount_refunded=returned, refunded=returned == t.amount)
    t.later(4)
    destination: JsonObject = {"card": {"reference": "4085730218", "reference_status": "available"}}
    refund = t.changed("refund.updated", refund, destination_details=destination)
    return Sale(sale.intent, charge), refund
