"""``invoice_payment.*`` (since Basil): which payment paid which invoice."""

from sluice.payments.facts import Fact, FactKind
from sluice.payments.saying import Saying
from sluice.payments.status import PaymentStatus
from sluice.payments.values import child, identifier, text, whole

_WORDS = frozenset({"open", "paid", "canceled"})


def facts(saying: Saying) -> tuple[Fact, ...]:
    """The payment belongs to the invoice, and has succeeded once the invoice payment is ``paid``."""
    invoice_payment = saying.thing
    payment = child(invoice_payment, "payment")
    payment_id = identifier(payment, "payment_intent") or identifier(payment, "charge")
    if payment_id is None:
        return ()
    word = text(invoice_payment, "status")
    is_paid = (word if word in _WORDS else saying.verb) == "paid"
    return (
        saying.of(
            payment_id,
            FactKind.INVOICE_PAYMENT,
            status=PaymentStatus.PAID if is_paid else None,
            amount=whole(invoice_payment, "amount_requested"),
            amount_captured=whole(invoice_payment, "amount_paid") if is_paid else None,
            parent_id=identifier(invoice_payment, "invoice", "in_"),
        ),
    )
