"""``charge.dispute.*``: a bank asks, or takes the money back."""

from collections.abc import Mapping

from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import FactBuilder
from sluice.payments.facts import Fact, FactKind
from sluice.payments.refund import charge_or_its_intent
from sluice.payments.values import children, identifier, text, whole

_STATE = "the state of one dispute"
TYPES: Mapping[str, EventType] = {
    "charge.dispute.created": EventType(_STATE),
    "charge.dispute.updated": EventType(_STATE),
    "charge.dispute.closed": EventType(_STATE),
    "charge.dispute.funds_withdrawn": EventType(_STATE),
    "charge.dispute.funds_reinstated": EventType(_STATE),
}

WON, LOST = "won", "lost"
CHARGE_REFUNDED = "charge_refunded"
"""Until 2014-11-20: won, and the payment was refunded; the refund counts by itself."""
CLOSED = frozenset({CHARGE_REFUNDED, "prevented", WON, LOST})
PRECEDENCE = (
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "appeal_needs_response",
    "appeal_under_review",
    CHARGE_REFUNDED,
    "prevented",
    WON,
    LOST,
)
"""Within one second the later one wins."""


def facts(builder: FactBuilder) -> tuple[Fact, ...]:
    """Make the fact of a dispute, about the payment that it contests."""
    payment_id = identifier(builder.object, "payment_intent") or charge_or_its_intent(builder)
    if payment_id is None:
        return ()
    return (
        builder.fact(
            payment_id,
            FactKind.DISPUTE,
            namings=builder.metadata_naming,
            status=_status(builder),
            amount=whole(builder.object, "amount"),
        ),
    )


def _status(builder: FactBuilder) -> str | None:
    """
    Stripe's word; where it is unknown, what the event's type says.

    A dispute that is closed is lost if its balance transactions leave money gone, and leaves no trace if they do not;
    one whose funds are back leaves none. Of any other type an unknown word, or none, is that of an open dispute.
    """
    word = text(builder.object, "status")
    if word in PRECEDENCE or is_inquiry(word):
        return word
    match builder.verb:
        case "closed":
            return LOST if _net(builder) < 0 else WON
        case "funds_reinstated":
            return WON
        case _:
            return word


def _net(builder: FactBuilder) -> int:
    """Sum up what the bank took and gave back."""
    return sum(whole(one, "amount") or 0 for one in children(builder.object, "balance_transactions"))


def is_inquiry(status: str | None) -> bool:
    """Whether the bank only asks; no money has moved."""
    return status is not None and status.startswith("warning_")
