"""From the bytes that Stripe signed to a ``StripeEvent``: only the envelope is looked at."""

import re
from datetime import datetime

from sluice.contract.document import Json, JsonObject, decode_object
from sluice.contract.event import PLATFORM, THIN_OBJECT, StripeEvent
from sluice.failures import MalformedEvent

_EVENT_ID = re.compile(r"[A-Za-z0-9_]{1,255}")
_TYPE = re.compile(r"[A-Za-z0-9_.\-\[\]]{1,255}")  # brackets: v2.core.account[configuration.customer].updated
_ACCOUNT = re.compile(r"[A-Za-z0-9_]{1,255}")
_CONTEXT = re.compile(r"[A-Za-z0-9_]{1,255}(/[A-Za-z0-9_]{1,255}){0,9}")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,255}")
_LATEST_SECOND = 253_402_300_799  # 9999-12-31, the last that a timestamptz and Stripe could both mean


def read_event(body: bytes, *, tenant: str | None = None) -> StripeEvent:
    """
    Read the envelope of one verified webhook.

    Args:
        tenant: ``events.id`` of the organiser whose URL received it; None for the platform's URL.

    Raises:
        MalformedEvent: the bytes are no Stripe event, or a field has a shape that Stripe never sends.
    """
    payload = decode_object(body)
    if payload.get("object") not in ("event", THIN_OBJECT):
        raise MalformedEvent('The body is JSON, but its "object" is neither "event" nor "v2.core.event".')
    event_id = _matching(payload, "id", _EVENT_ID)
    return StripeEvent(
        stripe_event_id=event_id if tenant is None else f"{event_id}@{tenant}",
        type=_matching(payload, "type", _TYPE),
        created=_created(payload.get("created")),
        livemode=_livemode(payload.get("livemode")),
        account=_account(payload),
        api_version=_printable(payload.get("api_version")),
        object_id=_object_id(payload),
        tenant=tenant,
        body=body,
    )


def _matching(payload: JsonObject, name: str, shape: re.Pattern[str]) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or shape.fullmatch(value) is None:
        raise MalformedEvent(f'The event\'s "{name}" is missing or has a shape that Stripe never sends.')
    return value


def _account(payload: JsonObject) -> str | None:
    """
    The account that the event is of; None for the platform's own.

    ``account`` wins, ``user_id`` was its name until 2017-05-25. ``context`` is a path of accounts, as in the header
    Stripe-Context: its last element is the account itself, whatever its prefix. Anything else in one of them is
    refused, since no event that names an account may act as the platform's.

    Source: https://docs.stripe.com/changelog/basil/2025-04-30/additional-context-organization-events
    """
    for name in ("account", "user_id"):
        if payload.get(name) is not None:
            return _not_the_platform(_matching(payload, name, _ACCOUNT), name)
    if payload.get("context") in (None, ""):  # Stripe's own library reads an empty path as no other account
        return None
    return _not_the_platform(_matching(payload, "context", _CONTEXT).rpartition("/")[2], "context")


def _not_the_platform(account: str, name: str) -> str:
    if account == PLATFORM:
        raise MalformedEvent(f'The event\'s "{name}" names no account of Stripe.')
    return account


def _livemode(value: Json) -> bool:
    if not isinstance(value, bool):
        raise MalformedEvent('The event\'s "livemode" is neither true nor false.')
    return value


def _created(value: Json) -> int:
    if isinstance(value, str):
        value = _seconds(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LATEST_SECOND:
        raise MalformedEvent('The event\'s "created" is not a time.')
    return value


def _seconds(rfc3339: str) -> int:
    try:
        moment = datetime.fromisoformat(rfc3339)
    except ValueError as error:
        raise MalformedEvent('The event\'s "created" is not a time.') from error
    if moment.tzinfo is None:
        raise MalformedEvent('The event\'s "created" has no time zone.')
    return int(moment.timestamp())


def _object_id(payload: JsonObject) -> str | None:
    data = payload.get("data")
    about = data.get("object") if isinstance(data, dict) else payload.get("related_object")
    return _printable(about.get("id")) if isinstance(about, dict) else None


def _printable(value: Json) -> str | None:
    return value if isinstance(value, str) and _PRINTABLE.fullmatch(value) else None
