"""``charge.dispute.*``: the ledger learns of banks that take money back."""

from processor.payments.ledger import apply_facts
from sluice.registry import handles_batch

TYPES = (
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
)

handles_batch(*TYPES, organisers=True)(apply_facts)
