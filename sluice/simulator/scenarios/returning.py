"""Money that goes back: refunds whole, partial and failed."""

from sluice.contract.document import JsonObject
from sluice.simulator.builder import SECONDS_PER_HOUR, ScenarioBuilder
from sluice.simulator.scenarios.steps import Sale, paid_checkout


def refund_full(b: ScenarioBuilder) -> None:
    """The buyer falls ill and gets everything back."""
    sale = paid_checkout(b)
    b.later(3 * SECONDS_PER_HOUR)
    _refund(b, sale, b.amount, already=0)


def refund_partial(b: ScenarioBuilder) -> None:
    """One of the tickets goes back."""
    sale = paid_checkout(b)
    b.later(3 * SECONDS_PER_HOUR)
    _refund(b, sale, b.amount // 4, already=0)


def refund_in_two_parts(b: ScenarioBuilder) -> None:
    """First a part goes back, then the rest."""
    sale = paid_checkout(b)
    b.later(2 * SECONDS_PER_HOUR)
    first = b.amount // 4
    sale, _ = _refund(b, sale, first, already=0)
    b.later(SECONDS_PER_HOUR)
    _refund(b, sale, b.amount - first, already=first)


def refund_failed(b: ScenarioBuilder) -> None:
    """The buyer's bank sends the refund back: the ticket is paid after all."""
    sale = paid_checkout(b)
    b.later(SECONDS_PER_HOUR)
    sale, refund = _refund(b, sale, b.amount, already=0)
    b.later(8 * SECONDS_PER_HOUR)
    failed: JsonObject = {
        "status": "failed",
        "failure_reason": "lost_or_stolen_card",
        "failure_balance_transaction": b.new_id("txn"),
    }
    refund = b.changed("refund.failed", refund, **failed)
    b.emit("refund.updated", refund, before={"status": "succeeded"}, by_request=False)
    b.emit("charge.refund.updated", refund, before={"status": "succeeded"}, by_request=False)
    b.changed("charge.updated", sale.charge, amount_refunded=0, refunded=False)


def _refund(b: ScenarioBuilder, sale: Sale, amount: int, *, already: int) -> tuple[Sale, JsonObject]:
    refund = b.make(
        "refund",
        id=b.new_id("re"),
        amount=amount,
        charge=sale.charge["id"],
        payment_intent=sale.intent["id"],
        balance_transaction=b.new_id("txn"),
        status="succeeded",
    )
    b.emit("refund.created", refund)
    returned = already + amount
    charge = b.changed("charge.refunded", sale.charge, amount_refunded=returned, refunded=returned == b.amount)
    b.later(4)
    destination: JsonObject = {"card": {"reference": "4085730218", "reference_status": "available"}}
    refund = b.changed("refund.updated", refund, destination_details=destination)
    return Sale(sale.intent, charge), refund
