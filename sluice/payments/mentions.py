"""The person and the ``events`` row that a webhook names, read from any body: for error rows, never for a payment."""

from dataclasses import dataclass

from sluice.contract.document import JsonObject
from sluice.payments.values import child, identifier, text

_CUSTOMER = "cus_"


@dataclass(frozen=True, slots=True)
class Mentions:
    """Ids that a webhook names; None where it names none."""

    user_id: str | None = None
    """``metadata.user_id``, else Stripe's customer."""
    events_id: str | None = None
    """``events.id``: the organiser's URL, else ``metadata.event_id``, else ``client_reference_id``."""


def mentions(payload: JsonObject, *, tenant: str | None = None) -> Mentions:
    """
    Read the ids that a decoded body names, whatever its shape.

    Args:
        tenant: ``events.id`` of the organiser whose URL received the webhook.
    """
    api_object = child(payload, "data", "object")
    own = child(api_object, "metadata")
    inherited = child(api_object, "parent", "subscription_details", "metadata")
    customer = identifier(api_object, "customer", _CUSTOMER) or identifier(api_object, "id", _CUSTOMER)
    return Mentions(
        user_id=text(own, "user_id") or text(inherited, "user_id") or customer,
        events_id=tenant
        or text(own, "event_id")
        or text(inherited, "event_id")
        or text(api_object, "client_reference_id"),
    )
