"""Names on the stream."""

import re
from functools import lru_cache

from sluice.contract.event import PLATFORM, StripeEvent

STREAM = "STRIPE"
ALL_SUBJECTS = "stripe.>"
CONSUMER = "processor"

_EMPTY_TOKEN = re.compile(r"(?<![^.])(?=\.|$)")


def subject_for(event: StripeEvent) -> str:
    """Where an event is published: ``stripe.{live|test}.{account or "platform"}.{event type}``."""
    return f"stripe.{event.mode}.{event.account or PLATFORM}.{_tokens(event.type)}"


def message_id(event: StripeEvent, *, publication: int) -> str:
    """``Nats-Msg-Id`` of one publication; each claim by a relay is a new one."""
    return f"{event.stripe_event_id}:{publication}"


@lru_cache(maxsize=1024)
def _tokens(event_type: str) -> str:
    return _EMPTY_TOKEN.sub("_", event_type)
