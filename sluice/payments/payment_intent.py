"""``payment_intent.*``: the payment itself speaks."""

from sluice.payments.facts import Fact, FactKind
from sluice.payments.saying import Saying
from sluice.payments.status import PaymentStatus
from sluice.payments.values import identifier, let_go, text, whole

# After a failure the intent waits for another payment method, as a new one does: only the event's type tells.
_BY_VERB = {
    "payment_failed": PaymentStatus.FAILED,
    "partially_funded": PaymentStatus.PROCESSING,
}
_FINAL = {
    "succeeded": PaymentStatus.PAID,
    "canceled": PaymentStatus.CANCELED,
}
_PASSING = {
    "requires_capture": PaymentStatus.AUTHORIZED,
    "amount_capturable_updated": PaymentStatus.AUTHORIZED,
    "processing": PaymentStatus.PROCESSING,
    "requires_action": PaymentStatus.REQUIRES_ACTION,
}


def facts(saying: Saying) -> tuple[Fact, ...]:
    """What the intent says of itself."""
    payment_id = identifier(saying.thing, "id")
    if payment_id is None:
        return ()
    status = _status(text(saying.thing, "status") or saying.verb, saying.verb)
    received = whole(saying.thing, "amount_received") if status is PaymentStatus.PAID else None
    return (
        saying.of(
            payment_id,
            FactKind.INTENT,
            claims=saying.metadata_claim,
            status=status,
            amount=whole(saying.thing, "amount"),
            amount_captured=received,
            amount_released=let_go(whole(saying.thing, "amount"), received),
            parent_id=identifier(saying.thing, "invoice", "in_"),  # until Basil
        ),
    )


def _status(own_word: str, verb: str) -> PaymentStatus | None:
    return _FINAL.get(own_word) or _BY_VERB.get(verb) or _PASSING.get(own_word)
