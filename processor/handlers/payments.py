"""
Every type of the payment families: the ledger keeps what it says, and two tables the newest state.

One function for all families, so that a batch costs the ledger's statements once. All take organisers' events too,
whose facts count for the organiser's row alone.
"""

from processor.payments.billing import keep_invoices, keep_subscriptions
from processor.payments.ledger import apply_facts
from sluice.payments import invoice, subscription
from sluice.payments.families import EVENT_TYPES
from sluice.payments.fetched import FETCHED_TYPES
from sluice.registry import handles_batch

handles_batch(*EVENT_TYPES, organisers=True)(apply_facts)
handles_batch(*invoice.TYPES, organisers=True)(keep_invoices)
handles_batch(*subscription.TYPES, organisers=True)(keep_subscriptions)
handles_batch(*FETCHED_TYPES.values())(apply_facts)
handles_batch(FETCHED_TYPES["invoice"])(keep_invoices)
handles_batch(FETCHED_TYPES["subscription"])(keep_subscriptions)
