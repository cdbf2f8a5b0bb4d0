"""``charge.*``: the ledger learns what was captured and how much of it went back."""

from processor.payments.ledger import apply_facts
from sluice.registry import handles_batch

TYPES = (
    "charge.captured",
    "charge.expired",
    "charge.failed",
    "charge.pending",
    "charge.refunded",
    "charge.succeeded",
    "charge.updated",
)

handles_batch(*TYPES, organisers=True)(apply_facts)
