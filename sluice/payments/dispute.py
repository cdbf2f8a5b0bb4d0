"""``charge.dispute.*``: a bank asks, or takes the money back."""

from sluice.payments.facts import Fact, FactKind
from sluice.payments.refund import charge_or_its_intent
from sluice.payments.saying import Saying
from sluice.payments.values import identifier, text, whole

LOST = "lost"
CLOSED = frozenset({"prevented", "won", LOST})
PRECEDENCE = (
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "appeal_needs_response",
    "appeal_under_review",
    "prevented",
    "won",
    LOST,
)
"""Within one second the later one wins."""


def facts(saying: Saying) -> tuple[Fact, ...]:
    """What the dispute says of the payment that it is about."""
    payment_id = identifier(saying.thing, "payment_intent") or charge_or_its_intent(saying)
    if payment_id is None:
        return ()
    return (
        saying.of(
            payment_id,
            FactKind.DISPUTE,
            claims=saying.metadata_claim,
            status=text(saying.thing, "status"),
            amount=whole(saying.thing, "amount"),
        ),
    )


def is_inquiry(status: str | None) -> bool:
    """Whether the bank only asks; no money has moved."""
    return status is not None and status.startswith("warning_")
