"""Stripe's events for tests: the fixtures of ``tests/fixtures/events``, retold with other ids, times and fields."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import cast

import orjson

from sluice.contract.document import Json, JsonObject
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent

FIXTURES = Path(__file__).parents[1] / "fixtures" / "events"
NOON = 1_793_350_800
PI, CHARGE, SESSION, INVOICE, SUBSCRIPTION = "pi_1", "ch_1", "cs_1", "in_1", "sub_1"

_BY_PREFIX = {
    "payment_intent.": "payment_intent.succeeded",
    "checkout.session.": "checkout.session.completed",
    "charge.dispute.": "charge.dispute.created",
    "charge.refund.": "refund.created",
    "charge.": "charge.refunded",
    "refund.": "refund.created",
    "invoice.": "invoice.paid",
    "invoice_payment.": "invoice_payment.paid",
    "customer.subscription.": "customer.subscription.updated",
}
_SMALL: Mapping[str, JsonObject] = {
    "payment_intent.succeeded": {"id": PI},
    "checkout.session.completed": {"id": SESSION, "payment_intent": PI},
    "charge.refunded": {"id": CHARGE, "payment_intent": PI, "amount_refunded": 0, "refunded": False},
    "refund.created": {"id": "re_1", "payment_intent": PI, "charge": CHARGE},
    "charge.dispute.created": {"id": "du_1", "payment_intent": PI, "charge": CHARGE},
    "invoice.paid": {
        "id": INVOICE,
        "parent": {"subscription_details": {"subscription": SUBSCRIPTION, "metadata": {}}},
    },
    "invoice.paid.acacia": {
        "id": INVOICE, "payment_intent": PI, "charge": CHARGE, "subscription": SUBSCRIPTION,
    },
    "invoice_payment.paid": {
        "id": "inpay_1", "invoice": INVOICE, "payment": {"type": "payment_intent", "payment_intent": PI},
    },
    "customer.subscription.updated": {"id": SUBSCRIPTION},
}  # fmt: skip


def fixture(name: str) -> Mapping[str, Json]:
    """One recorded event."""
    return cast("Mapping[str, Json]", orjson.loads((FIXTURES / f"{name}.json").read_bytes()))


def event(event_type: str, at: int = 0, **fields: Json) -> StripeEvent:
    """
    An event ``at`` seconds after noon; the same arguments give the same event.

    Args:
        fields: of the API object; besides ``account``, ``tenant`` and ``api_version`` of the event, ``previous``: its
            ``previous_attributes``, and ``like``: the fixture to retell, by default the one of its family.
    """
    like = fields.pop("like", None) or next(
        name for prefix, name in _BY_PREFIX.items() if event_type.startswith(prefix)
    )
    account, tenant = fields.pop("account", None), fields.pop("tenant", None)
    assert isinstance(like, str)
    told = fixture(like)
    api_version, previous = fields.pop("api_version", told["api_version"]), fields.pop("previous", None)
    data = cast("JsonObject", told["data"])
    thing: JsonObject = {**cast("JsonObject", data["object"]), "created": NOON, **_SMALL[like], **fields}
    what = orjson.dumps([event_type, at, account, tenant, thing, api_version, previous])
    envelope = {
        **told,
        "id": f"evt_{sha256(what).hexdigest()[:20]}",
        "type": event_type,
        "created": NOON + at,
        "account": account,
        "api_version": api_version,
        "data": {"object": thing} if previous is None else {"object": thing, "previous_attributes": previous},
    }
    return read_event(orjson.dumps(envelope), tenant=cast("str | None", tenant))


def names(events_id: str) -> JsonObject:
    """Metadata that name an ``events`` row."""
    return {"event_id": events_id}


def parent(subscription: str = SUBSCRIPTION, metadata: JsonObject | None = None) -> JsonObject:
    """``invoice.parent`` as it is since Basil."""
    details: JsonObject = {"subscription": subscription, "metadata": metadata or {}}
    return {"type": "subscription_details", "subscription_details": details}


def intent(verb: str, at: int = 0, **fields: Json) -> StripeEvent:
    """``payment_intent.{verb}`` with the status that Stripe gives it."""
    status = {
        "amount_capturable_updated": "requires_capture", "canceled": "canceled", "created": "requires_payment_method",
        "partially_funded": "requires_action", "payment_failed": "requires_payment_method",
        "processing": "processing", "requires_action": "requires_action", "succeeded": "succeeded",
    }[verb]  # fmt: skip
    return event(f"payment_intent.{verb}", at, **{"status": status, **fields})


def session(verb: str, at: int = 0, payment_status: str = "paid", **fields: Json) -> StripeEvent:
    """``checkout.session.{verb}``."""
    return event(f"checkout.session.{verb}", at, **{"payment_status": payment_status, **fields})


def charge(verb: str, at: int = 0, back: int = 0, **fields: Json) -> StripeEvent:
    """``charge.{verb}``, captured unless told otherwise, of which ``back`` has been refunded."""
    return event(f"charge.{verb}", at, **{"amount_refunded": back, **fields})


def refund(verb: str, at: int = 0, status: str = "succeeded", refund_id: str = "re_1", **fields: Json) -> StripeEvent:
    """``refund.{verb}``."""
    return event(f"refund.{verb}", at, **{"id": refund_id, "status": status, **fields})


def dispute(verb: str, at: int = 0, status: str = "needs_response", **fields: Json) -> StripeEvent:
    """``charge.dispute.{verb}``."""
    return event(f"charge.dispute.{verb}", at, **{"status": status, **fields})
