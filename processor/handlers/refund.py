"""``refund.*`` and the older ``charge.refund.updated``: the ledger learns of money on its way back."""

from processor.payments.ledger import apply_facts
from sluice.registry import handles_batch

TYPES = (
    "charge.refund.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
)

handles_batch(*TYPES, organisers=True)(apply_facts)
