"""``invoice_payment.*`` (since Basil): which payment paid which invoice."""

from collections.abc import Mapping

from sluice.contract.document import JsonObject
from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import FactBuilder
from sluice.payments.facts import Fact, FactKind
from sluice.payments.status import PaymentStatus
from sluice.payments.values import child, identifier, text, whole

TYPES: Mapping[str, EventType] = {
    "invoice_payment.paid": EventType("`paid`, and which invoice the payment belongs to"),
}

_WORDS = frozenset({"open", "paid", "canceled"})


def _payment(invoice_payment: JsonObject) -> str | None:
    payment = child(invoice_payment, "payment")
    named = (identifier(payment, kind) for kind in ("payment_intent", "charge", "payment_record"))
    return next((one for one in named if one is not None), None) or identifier(invoice_payment, "id")


def facts(builder: FactBuilder) -> tuple[Fact, ...]:
    """
    The payment belongs to the invoice, and has succeeded once the invoice payment is ``paid``.

    Money that was taken elsewhere and only reported to Stripe (a payment record, or of a kind that is not known yet) is
    a payment under the id of that record, else under the invoice payment's own.
    """
    invoice_payment = builder.object
    payment_id = _payment(invoice_payment)
    if payment_id is None:
        return ()
    word = text(invoice_payment, "status")
    is_paid = (word if word in _WORDS else builder.verb) == "paid"
    return (
        builder.fact(
            payment_id,
            FactKind.INVOICE_PAYMENT,
            status=PaymentStatus.PAID if is_paid else None,
            amount=whole(invoice_payment, "amount_requested"),
            amount_captured=whole(invoice_payment, "amount_paid") if is_paid else None,
            parent_id=identifier(invoice_payment, "invoice", "in_"),
        ),
    )
