"""Compare a message with its row: any publisher can name any row, so the row says what the event is."""

import hashlib
from dataclasses import replace

from sluice.contract.event import StripeEvent
from sluice.postgres.pool import Record

_FIELDS = ("type", "account", "livemode", "api_version", "object_id", "created", "tenant")
"""What a handler can see besides id and body; in the order of the columns of ``claim`` and ``look`` after the id."""
_COLUMNS = slice(1, len(_FIELDS) + 1)
_LARGE_BYTES = 16 * 1024


def digest_of(event: StripeEvent) -> bytes | None:
    """Digest of a large body, which need not travel back; None of a small one: giving that back is cheaper."""
    return hashlib.sha256(event.body).digest() if len(event.body) > _LARGE_BYTES else None


def differences(event: StripeEvent, row: Record) -> tuple[str, ...]:
    """Names of the fields in which a message differs from its row; a message without a body refers to the row's."""
    said = (event.type, event.account, event.livemode, event.api_version, event.object_id, event.created, event.tenant)
    held = row[_COLUMNS]
    differing = () if said == held else tuple(name for name, a, b in zip(_FIELDS, said, held, strict=True) if a != b)
    is_same = row["has_same_body"]
    if is_same is None:  # no digest was sent
        is_same = event.body == row["body"] or not event.body
    return differing if is_same else (*differing, "body")


def with_body(event: StripeEvent, row: Record) -> StripeEvent:
    """The event with the row's body, where its message refers to it."""
    return event if event.body or row["body"] is None else replace(event, body=row["body"])
