"""Webhooks as Stripe sends them, and the one that is signed wrongly."""

import itertools
import time
from collections.abc import Mapping

import orjson

from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.simulator.signature import sign

SECRET = "whsec_canary_platform_5e3f"
OTHER_SECRET = "whsec_canary_other_77aa"
CANARY = "canary-in-the-body-4242"

_numbers = itertools.count(1)


def webhook(event_id: str | None = None, **changes: object) -> bytes:
    """The bytes of one event; each call makes another id, unless it is given."""
    number = next(_numbers)
    event: dict[str, object] = {
        "id": event_id or f"evt_{number:010d}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_790_000_000,
        "livemode": False,
        "type": "payment_intent.succeeded",
        "data": {"object": {"id": f"pi_{number}", "object": "payment_intent", "description": CANARY}},
    }
    return orjson.dumps(event | changes)


def event(event_id: str | None = None, **changes: object) -> StripeEvent:
    """The same, read."""
    return read_event(webhook(event_id, **changes))


def signed(body: bytes, *secrets: str, at: float | None = None) -> Mapping[str, str]:
    """The headers that Stripe sends with a body."""
    timestamp = int(time.time() if at is None else at)
    return {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": sign(body, secrets or (SECRET,), timestamp=timestamp),
    }
