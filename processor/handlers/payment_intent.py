"""``payment_intent.*``: the ledger learns how far a payment has come."""

from processor.payments.ledger import apply_facts
from sluice.registry import handles_batch

TYPES = (
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.partially_funded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
)

handles_batch(*TYPES, organisers=True)(apply_facts)
