"""Disputes: won, lost, open, and the inquiry that is none."""

from sluice.contract.document import Json, JsonObject
from sluice.simulator.builder import SECONDS_PER_HOUR, ScenarioBuilder
from sluice.simulator.scenarios.steps import paid_checkout

_DAYS_TO_ANSWER = 9


def dispute_won(b: ScenarioBuilder) -> None:
    """The bank believes us: the ticket is paid again."""
    dispute = _dispute(b)
    b.later(5 * SECONDS_PER_HOUR)
    dispute = _answer(b, dispute, "under_review")
    b.later(6 * SECONDS_PER_HOUR)
    b.emit("charge.dispute.funds_reinstated", dispute, by_request=False)
    b.changed("charge.dispute.closed", dispute, status="won")


def dispute_lost(b: ScenarioBuilder) -> None:
    """The bank believes the buyer."""
    dispute = _dispute(b)
    b.later(5 * SECONDS_PER_HOUR)
    dispute = _answer(b, dispute, "under_review")
    b.later(6 * SECONDS_PER_HOUR)
    b.changed("charge.dispute.closed", dispute, status="lost")


def dispute_open(b: ScenarioBuilder) -> None:
    """The outcome is open."""
    _dispute(b)


def inquiry_closed(b: ScenarioBuilder) -> None:
    """A bank asks, hears, and goes away: no money moves."""
    inquiry = _dispute(b, status="warning_needs_response", is_charge_refundable=True)
    b.later(4 * SECONDS_PER_HOUR)
    inquiry = _answer(b, inquiry, "warning_under_review")
    b.later(4 * SECONDS_PER_HOUR)
    b.changed("charge.dispute.closed", inquiry, status="warning_closed")


def _dispute(b: ScenarioBuilder, *, status: str = "needs_response", **fields: Json) -> JsonObject:
    sale = paid_checkout(b)
    b.later(6 * SECONDS_PER_HOUR)
    dispute = b.make(
        "dispute",
        id=b.new_id("du"),
        amount=b.amount,
        charge=sale.charge["id"],
        payment_intent=sale.intent["id"],
        evidence={"customer_email_address": b.buyer_email, "customer_name": b.buyer_name},
        evidence_details={"due_by": b.now + _DAYS_TO_ANSWER * 24 * SECONDS_PER_HOUR},
        status=status,
        **fields,
    )
    b.emit("charge.dispute.created", dispute, by_request=False)
    b.changed("charge.updated", sale.charge, disputed=True, dispute=dispute["id"])
    if status == "needs_response":
        b.emit("charge.dispute.funds_withdrawn", dispute, by_request=False)
    return dispute


def _answer(b: ScenarioBuilder, dispute: JsonObject, status: str) -> JsonObject:
    evidence: JsonObject = {"has_evidence": True, "submission_count": 1}
    return b.changed("charge.dispute.updated", dispute, status=status, evidence_details=evidence)
