"""``refund.*`` and ``charge.refund.updated``: money on its way back."""

from collections.abc import Mapping

from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import Saying
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


def facts(saying: Saying) -> tuple[Fact, ...]:
    """What the refund says of the payment that it returns."""
    refund = saying.thing
    payment_id = identifier(refund, "payment_intent") or charge_or_its_intent(saying)
    if payment_id is None:
        return ()
    return (
        saying.of(
            payment_id,
            FactKind.REFUND,
            claims=saying.metadata_claim,
            status=_status(saying),
            amount=whole(refund, "amount"),
            amount_released=whole(refund, "amount") if saying.tells_releases_as_refunds else None,
        ),
    )


def _status(saying: Saying) -> str | None:
    """Stripe's word, which stands for a refund that goes through unless it is known; ``refund.failed`` knows better."""
    if saying.verb == "failed":
        return FAILED
    word = text(saying.thing, "status")
    has_failed = word not in PRECEDENCE and text(saying.thing, "failure_reason") is not None
    return FAILED if has_failed else word


def charge_or_its_intent(saying: Saying) -> str | None:
    """The payment behind the ``charge`` field: its intent, where Stripe expanded the charge and it has one."""
    return identifier(child(saying.thing, "charge"), "payment_intent") or identifier(saying.thing, "charge")
