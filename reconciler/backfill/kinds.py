"""The kinds of objects that can be listed, by the name that an operator gives them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Kind:
    """One list of Stripe's."""

    name: str
    word: str
    """What its objects say in their ``object`` field."""
    path: str
    parameters: Mapping[str, str | int] = field(default_factory=dict)
    """What the list is always asked with."""


_ALL = (
    Kind("payment_intents", "payment_intent", "/v1/payment_intents"),
    Kind("charges", "charge", "/v1/charges"),
    Kind("refunds", "refund", "/v1/refunds"),
    Kind("disputes", "dispute", "/v1/disputes"),
    Kind("invoices", "invoice", "/v1/invoices", {"expand[0]": "data.payments"}),
    Kind("subscriptions", "subscription", "/v1/subscriptions", {"status": "all"}),  # else those that ended are left out
    Kind("checkout_sessions", "checkout.session", "/v1/checkout/sessions"),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
