"""Disputes: won, lost, open, and the inquiry that is none."""

from sluice.contract.document import Json, JsonObject
from sluice.simulator.builder import SECONDS_PER_HOUR, Telling
from sluice.simulator.scenarios.steps import paid_checkout

_DAYS_TO_ANSWER = 9


def dispute_won(t: Telling) -> None:
    """The bank believes us: the ticket is paid again."""
    dispute = _dispute(t)
    t.later(5 * SECONDS_PER_HOUR)
    dispute = _answer(t, dispute, "under_review")
    t.later(6 * SECONDS_PER_HOUR)
    t.say("charge.dispute.funds_reinstated", dispute, by_request=False)
    t.changed("charge.dispute.closed", dispute, status="won")


def dispute_lost(t: Telling) -> None:
    """The bank believes the buyer."""
    dispute = _dispute(t)
    t.later(5 * SECONDS_PER_HOUR)
    dispute = _answer(t, dispute, "under_review")
    t.later(6 * SECONDS_PER_HOUR)
    t.changed("charge.dispute.closed", dispute, status="lost")


def dispute_open(t: Telling) -> None:
    """The outcome is open."""
    _dispute(t)


def inquiry_closed(t: Telling) -> None:
    """A bank asks, hears, and goes away: no money moves."""
    inquiry = _dispute(t, status="warning_needs_response", is_charge_refundable=True)
    t.later(4 * SECONDS_PER_HOUR)
    inquiry = _answer(t, inquiry, "warning_under_review")
    t.later(4 * SECONDS_PER_HOUR)
    t.changed("charge.dispute.closed", inquiry, status="warning_closed")


def _dispute(t: Telling, *, status: str = "needs_response", **fields: Json) -> JsonObject:
    sale = paid_checkout(t)
    t.later(6 * SECONDS_PER_HOUR)
    dispute = t.make(
        "dispute",
        id=t.new_id("du"),
        amount=t.amount,
        charge=sale.charge["id"],
        payment_intent=sale.intent["id"],
        evidence={"customer_email_address": t.buyer_email, "customer_name": t.buyer_name},
        evidence_details={"due_by": t.now + _DAYS_TO_ANSWER * 24 * SECONDS_PER_HOUR},
        status=status,
        **fields,
    )
    t.say("charge.dispute.created", dispute, by_request=False)
    t.changed("charge.updated", sale.charge, disputed=True, dispute=dispute["id"])
    if status == "needs_response":
        t.say("charge.dispute.funds_withdrawn", dispute, by_request=False)
    return dispute


def _answer(t: Telling, dispute: JsonObject, status: str) -> JsonObject:
    evidence: JsonObject = {"has_evidence": True, "submission_count": 1}
    return t.changed("charge.dispute.updated", dispute, status=status, evidence_details=evidence)
