"""From an object of Stripe's API to the event that says how it stood. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from reconciler.listed import as_body
from reconciler.stripe_api import API_VERSION
from sluice.contract.document import Json, JsonObject
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.failures import MalformedEvent
from sluice.payments.fetched import FETCHED_TYPES

_STATE = (
    "status",
    "payment_status",
    "captured",
    "refunded",
    "amount_captured",
    "amount_received",
    "amount_refunded",
    "amount_paid",
    "cancel_at",
    "cancel_at_period_end",
    "current_period_end",
)
"""What tells two states of an object apart; all else, such as the address of a receipt, may differ at each look."""


def as_event(entry: Json, *, word: str, account: str | None, livemode: bool, said_at: int) -> StripeEvent:
    """
    Make the event of one object.

    Its key holds the object's id and its state: an object that has not changed is recorded once, however often it is
    fetched; and no event that Stripe signs has such a key.

    Args:
        word: kind of the object.
        said_at: when it was fetched, in whole seconds by Stripe's clock.

    Raises:
        MalformedEvent: it is no such object, or of the other mode.
    """
    if not isinstance(entry, Mapping) or entry.get("object") != word or not isinstance(entry.get("id"), str):
        raise MalformedEvent(f"An entry of the list is no {word}.")
    if entry.get("livemode", livemode) is not livemode:
        raise MalformedEvent("The object is of the other mode.")
    owner: dict[str, Json] = {} if account is None else {"account": account}
    event = read_event(
        as_body(
            {
                "id": f"evt_fetched_{entry['id']}",
                "object": "event",
                **owner,
                "api_version": API_VERSION,
                "created": said_at,
                "data": {"object": entry},
                "livemode": livemode,
                "type": FETCHED_TYPES[word],
            }
        )
    )
    return replace(event, stripe_event_id=f"{event.stripe_event_id}~{_state_of(entry)}")


def _state_of(entry: JsonObject) -> str:
    """A short digest of the words that say how an object stands."""
    said = as_body({name: entry.get(name) for name in _STATE})
    return hashlib.sha256(said).hexdigest()[:12]
