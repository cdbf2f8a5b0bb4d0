"""``checkout.session.*``: the ledger learns of a checkout's payment, or which row a subscription belongs to."""

from processor.payments.ledger import apply_facts
from sluice.registry import handles_batch

TYPES = (
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
)

handles_batch(*TYPES, organisers=True)(apply_facts)
