"""
Names on the stream.

An organiser's event has a token of its own: a subscriber to the platform's account, or to a connected one, gets
nothing that the organiser has signed.
"""

import hashlib
import re
from functools import lru_cache

from sluice.contract.event import PLATFORM, StripeEvent

STREAM = "STRIPE"
ALL_SUBJECTS = "stripe.>"
CONSUMER = "processor"

_EMPTY_TOKEN = re.compile(r"(?<![^.])(?=\.|$)")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_TOKEN = 200


def subject_for(event: StripeEvent) -> str:
    """
    Where an event is published: ``stripe.{live|test}.{source}.{event type}``.

    The source is ``platform``, the connected account, or ``tenant_{events.id}`` for what came through an organiser's
    URL, whatever account the body claims.
    """
    source = event.account or PLATFORM if event.tenant is None else tenant_token(event.tenant)
    return f"stripe.{event.mode}.{source}.{_tokens(event.type)}"


@lru_cache(maxsize=1024)
def tenant_token(tenant: str) -> str:
    """
    One token of a subject for an organiser, whatever text ``events.id`` is; no two share one.

    A character beyond letters, digits, ``_`` and ``-`` is written ``=`` and two hexadecimal digits for each of its
    bytes in UTF-8; a very long id by its digest.
    """
    token = _UNSAFE.sub(lambda found: "".join(f"={byte:02X}" for byte in found[0].encode()), tenant)
    if len(token) > _LONGEST_TOKEN:
        token = f"=sha256={hashlib.sha256(tenant.encode()).hexdigest()}"
    return f"tenant_{token}"


def message_id(event: StripeEvent, *, publication: int) -> str:
    """``Nats-Msg-Id`` of one publication; each claim by a relay is a new one."""
    return f"{event.stripe_event_id}:{publication}"


@lru_cache(maxsize=1024)
def _tokens(event_type: str) -> str:
    return _EMPTY_TOKEN.sub("_", event_type)
