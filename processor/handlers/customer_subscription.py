"""``customer.subscription.*``: the ledger learns which row they name, the table ``subscription`` keeps their state."""

from processor.payments.billing import keep_subscriptions
from processor.payments.ledger import apply_facts
from sluice.registry import handles_batch

TYPES = (
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.pending_update_applied",
    "customer.subscription.pending_update_expired",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
)

handles_batch(*TYPES, organisers=True)(apply_facts)
handles_batch(*TYPES, organisers=True)(keep_subscriptions)
