"""
Events that Sluice itself makes of an object as Stripe's API gave it: no handler of yours takes their types.

Such an event says how the object stood when it was fetched, not what happened to it. So its type's last word is
``fetched``, and it is the object's own words that speak.
"""

from collections.abc import Mapping

VERB = "fetched"
FETCHED_TYPES: Mapping[str, str] = {
    "payment_intent": "payment_intent.fetched",
    "charge": "charge.fetched",
    "refund": "refund.fetched",
    "dispute": "charge.dispute.fetched",
    "invoice": "invoice.fetched",
    "subscription": "customer.subscription.fetched",
    "checkout.session": "checkout.session.fetched",
}
"""The type of such an event, by the word in the object's ``object`` field."""
