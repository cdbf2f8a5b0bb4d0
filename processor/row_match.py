"""Does a message hold what its row holds? Whoever may publish can name any row; the row says what the event is."""

from dataclasses import replace

from sluice.chassis.postgres import Record
from sluice.contract.event import StripeEvent

_FIELDS = ("type", "account", "livemode", "api_version", "object_id", "created", "tenant")
"""What a handler can see besides id and body; in the order of the columns of ``claim`` and ``look`` after the id."""
_COLUMNS = slice(1, len(_FIELDS) + 1)


def differences(event: StripeEvent, row: Record) -> tuple[str, ...]:
    """Names of the fields in which a message differs from its row; a message without a body refers to the row's."""
    said = (event.type, event.account, event.livemode, event.api_version, event.object_id, event.created, event.tenant)
    held = row[_COLUMNS]
    differing = () if said == held else tuple(name for name, a, b in zip(_FIELDS, said, held, strict=True) if a != b)
    return differing if event.body == row["body"] or not event.body else (*differing, "body")


def with_body(event: StripeEvent, row: Record) -> StripeEvent:
    """The event with the row's body, where its message refers to it."""
    return event if event.body or row["body"] is None else replace(event, body=row["body"])
