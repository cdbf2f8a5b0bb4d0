"""``invoice.*``: the ledger learns what belongs together, the table ``invoice`` keeps the newest state."""

from processor.payments.billing import keep_invoices
from processor.payments.ledger import apply_facts
from sluice.registry import handles_batch

TYPES = (
    "invoice.created",
    "invoice.deleted",
    "invoice.finalization_failed",
    "invoice.finalized",
    "invoice.marked_uncollectible",
    "invoice.overdue",
    "invoice.overpaid",
    "invoice.paid",
    "invoice.payment_action_required",
    "invoice.payment_attempt_required",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "invoice.sent",
    "invoice.upcoming",
    "invoice.updated",
    "invoice.voided",
    "invoice.will_be_due",
)

handles_batch(*TYPES, organisers=True)(apply_facts)
handles_batch(*TYPES, organisers=True)(keep_invoices)
