"""``refund.*`` and ``charge.refund.updated``: money on its way back."""

from collections.abc import Mapping

from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import FactBuilder
from sluice.payments.facts import Fact, FactKind
from sluice.payments.values import child, identifier, text, whole

_STATE = "the state and amount of one refund"
TYPES: Mapping[str, EventType] = {
    "refund.created": EventType(_STATE),
    "refund.updated": EventType(_STATE),
    "refund.failed": EventType(_STATE),
    "charge.refund.updated": EventType(_STATE),
}

FAILED = "failed"
CANCELED = "canceled"
UNDONE = frozenset({FAILED, CANCELED})
PRECEDENCE = ("pending", "requires_action", "succeeded", CANCELED, FAILED)
"""Within one second the later one wins; a refund that succeeded may still fail."""


def facts(builder: FactBuilder) -> tuple[Fact, ...]:
    """Make the fact of a refund, about the payment that it returns."""
    refund = builder.object
    payment_id = identifier(refund, "payment_intent") or charge_or_its_intent(builder)
    if payment_id is None:
        return ()
    return (
        builder.fact(
            payment_id,
            FactKind.REFUND,
            namings=builder.metadata_naming,
            status=_status(builder),
            amount=whole(refund, "amount"),
            amount_released=whole(refund, "amount") if builder.tells_releases_as_refunds else None,
        ),
    )


def _status(builder: FactBuilder) -> str | None:
    """Stripe's word, which stands for a refund that goes through unless it is known; ``refund.failed`` knows better."""
    if builder.verb == "failed":
        return FAILED
    word = text(builder.object, "status")
    has_failed = word not in PRECEDENCE and text(builder.object, "failure_reason") is not None
    return FAILED if has_failed else word


def charge_or_its_intent(builder: FactBuilder) -> str | None:
    """The payment behind the ``charge`` field: its intent, where Stripe expanded the charge and it has one."""
    return identifier(child(builder.object, "charge"), "payment_intent") or identifier(builder.object, "charge")
