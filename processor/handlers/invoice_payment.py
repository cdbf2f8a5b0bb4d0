"""``invoice_payment.*``: the ledger learns which payment paid which invoice."""

from processor.payments.ledger import apply_facts
from sluice.registry import handles_batch

TYPES = ("invoice_payment.paid",)

handles_batch(*TYPES, organisers=True)(apply_facts)
