"""Does a message hold what its row holds? Whoever may publish can name any row; the row says what the event is."""

from dataclasses import replace

from sluice.chassis.postgres import Record
from sluice.contract.event import StripeEvent

_COLUMN = {
    "type": "webhook_type",
    "account": "stripe_account_id",
    "livemode": "livemode",
    "api_version": "api_version",
    "object_id": "object_id",
    "created": "created",
    "tenant": "tenant",
}
"""For each field that a handler can see, the column that holds it; the body has a rule of its own."""


def differences(event: StripeEvent, row: Record) -> tuple[str, ...]:
    """Names of the fields in which a message differs from its row; a message without a body refers to the row's."""
    differing = [field for field, column in _COLUMN.items() if getattr(event, field) != row[column]]
    if event.body and event.body != row["body"]:
        differing.append("body")
    return tuple(differing)


def with_body(event: StripeEvent, row: Record) -> StripeEvent:
    """The event with the row's body, where its message refers to it."""
    return event if event.body or row["body"] is None else replace(event, body=row["body"])
