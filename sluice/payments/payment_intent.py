"""``payment_intent.*``: the payment itself speaks."""

from collections.abc import Mapping

from sluice.payments import fetched
from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import FactBuilder
from sluice.payments.facts import Fact, FactKind
from sluice.payments.status import PaymentStatus
from sluice.payments.values import child, identifier, let_go, text, whole

TYPES: Mapping[str, EventType] = {
    "payment_intent.created": EventType("that there is a payment; `pending`"),
    "payment_intent.requires_action": EventType("`requires_action`"),
    "payment_intent.processing": EventType("`processing`"),
    "payment_intent.partially_funded": EventType("`processing`"),
    "payment_intent.amount_capturable_updated": EventType("`authorized`: the money is held"),
    "payment_intent.payment_failed": EventType("`failed`; the same intent may still succeed"),
    "payment_intent.canceled": EventType("`canceled`"),
    "payment_intent.succeeded": EventType("`paid`"),
}

_FINAL = {
    "succeeded": PaymentStatus.PAID,
    "canceled": PaymentStatus.CANCELED,
}
# After a failure the intent waits for another payment method, as a new one does: only the event's type tells.
_VERB_KNOWS_BETTER = {
    "payment_failed": PaymentStatus.FAILED,
    "partially_funded": PaymentStatus.PROCESSING,
}
# requires_source and requires_source_action: until 2019-02-11.
_PASSING: Mapping[str | None, PaymentStatus | None] = {
    "requires_capture": PaymentStatus.AUTHORIZED,
    "processing": PaymentStatus.PROCESSING,
    "requires_action": PaymentStatus.REQUIRES_ACTION,
    "requires_source_action": PaymentStatus.REQUIRES_ACTION,
    "requires_confirmation": None,
    "requires_payment_method": None,
    "requires_source": None,
}
_WAITING = frozenset({"requires_payment_method", "requires_source"})
_BY_VERB = {
    "amount_capturable_updated": PaymentStatus.AUTHORIZED,
    "canceled": PaymentStatus.CANCELED,
    "processing": PaymentStatus.PROCESSING,
    "requires_action": PaymentStatus.REQUIRES_ACTION,
    "succeeded": PaymentStatus.PAID,
}


def facts(builder: FactBuilder) -> tuple[Fact, ...]:
    """Make the fact of an intent, about itself."""
    payment_id = identifier(builder.object, "id")
    if payment_id is None:
        return ()
    status = _status(text(builder.object, "status"), builder.verb)
    if status is None and _has_failed(builder):
        status = PaymentStatus.FAILED
    received = whole(builder.object, "amount_received") if status is PaymentStatus.PAID else None
    return (
        builder.fact(
            payment_id,
            FactKind.INTENT,
            namings=builder.metadata_naming,
            status=status,
            amount=whole(builder.object, "amount"),
            amount_captured=received,
            amount_released=let_go(whole(builder.object, "amount"), received),
            parent_id=identifier(builder.object, "invoice", "in_"),  # until Basil
        ),
    )


def _has_failed(builder: FactBuilder) -> bool:
    """Whether an intent as it was fetched waits for another payment method: what happened to it no type tells."""
    is_waiting = builder.verb == fetched.VERB and text(builder.object, "status") in _WAITING
    return is_waiting and bool(child(builder.object, "last_payment_error"))


def _status(own_word: str | None, verb: str) -> PaymentStatus | None:
    """Map the intent's own status; where that is unknown, the event's type."""
    known = _FINAL.get(own_word or "") or _VERB_KNOWS_BETTER.get(verb)
    return known or (_PASSING[own_word] if own_word in _PASSING else _BY_VERB.get(verb))
