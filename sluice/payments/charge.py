"""``charge.*``: one attempt to take the money speaks, and says how much of it went back."""

from collections.abc import Mapping

from sluice.contract.document import JsonObject
from sluice.payments import fetched
from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import FactBuilder
from sluice.payments.facts import Fact, FactKind
from sluice.payments.status import PaymentStatus
from sluice.payments.values import identifier, let_go, text, whole

_TAKEN = "`paid` once captured, else `authorized`"
_AMOUNTS = "how much was captured, and how much of that went back"
TYPES: Mapping[str, EventType] = {
    "charge.succeeded": EventType(_TAKEN),
    "charge.captured": EventType(_TAKEN),
    "charge.pending": EventType("`processing`"),
    "charge.failed": EventType("`failed`"),
    "charge.expired": EventType("`expired`"),
    "charge.refunded": EventType(_AMOUNTS),
    "charge.updated": EventType(_AMOUNTS),
}

_SUCCEEDED, _PENDING, _FAILED = "succeeded", "pending", "failed"
_WORDS: Mapping[str | None, str] = {
    _SUCCEEDED: _SUCCEEDED,
    "paid": _SUCCEEDED,  # until 2015-02-18
    _PENDING: _PENDING,
    _FAILED: _FAILED,
}
_BY_VERB = {
    "captured": _SUCCEEDED,
    "expired": _SUCCEEDED,  # a hold that was not captured
    "failed": _FAILED,
    "pending": _PENDING,
    "refunded": _SUCCEEDED,
    "succeeded": _SUCCEEDED,
}
# charge.updated may come long after and speak of an attempt that others followed: only of capture is it a witness.
_TELLS_OF_PROGRESS = frozenset({"succeeded", "pending", "failed", "captured"})


def facts(builder: FactBuilder) -> tuple[Fact, ...]:
    """Make the fact of a charge, about its intent or about itself where it has none."""
    charge = builder.object
    payment_id = identifier(charge, "payment_intent") or identifier(charge, "id")
    if payment_id is None:
        return ()
    word = _word(builder)
    is_captured = word == _SUCCEEDED and _is_captured(builder)
    return (
        builder.fact(
            payment_id,
            FactKind.CHARGE,
            namings=builder.metadata_naming,
            status=PaymentStatus.PAID if is_captured else _status_without_capture(builder, word),
            amount=_went_back(builder) if is_captured else None,
            amount_captured=_captured(charge) if is_captured else None,
            amount_released=_let_go(charge) if is_captured else None,
            parent_id=identifier(charge, "invoice", "in_"),  # until Basil
        ),
    )


def _word(builder: FactBuilder) -> str | None:
    """The charge's status; where its word is unknown, what the event's type says, of an update whether it was paid."""
    known = _WORDS.get(text(builder.object, "status")) or _BY_VERB.get(builder.verb)
    return known or (_SUCCEEDED if builder.object.get("paid") is True else None)


def _is_captured(builder: FactBuilder) -> bool:
    captured = builder.object.get("captured")
    if isinstance(captured, bool):
        return captured
    return builder.verb == "captured" or (whole(builder.object, "amount_captured") or 0) > 0


def _status_without_capture(builder: FactBuilder, word: str | None) -> PaymentStatus | None:
    if builder.verb == "expired":
        return PaymentStatus.EXPIRED
    tells = _tells_of_progress(builder)
    match word:
        case "succeeded" if builder.object.get("refunded") is True:
            return PaymentStatus.CANCELED  # Stripe calls the release of a hold a refund
        case "succeeded" if tells:
            return PaymentStatus.AUTHORIZED
        case "pending" if tells:
            return PaymentStatus.PROCESSING
        case "failed" if tells:
            return PaymentStatus.FAILED
        case _:
            return None


def _tells_of_progress(builder: FactBuilder) -> bool:
    """One that was fetched may be an attempt that others followed, too; where it has no intent, it is the payment."""
    is_payment = builder.verb == fetched.VERB and identifier(builder.object, "payment_intent") is None
    return is_payment or builder.verb in _TELLS_OF_PROGRESS


def _captured(charge: JsonObject) -> int | None:
    captured = whole(charge, "amount_captured")
    return whole(charge, "amount") if captured is None else captured


def _let_go(charge: JsonObject) -> int | None:
    return let_go(whole(charge, "amount"), _captured(charge))


def _went_back(builder: FactBuilder) -> int:
    """Until Basil ``amount_refunded`` also counts what a partial capture let go, once that is told as a refund."""
    refunded, released = whole(builder.object, "amount_refunded") or 0, _let_go(builder.object) or 0
    is_counted = builder.tells_releases_as_refunds and refunded >= released
    return max(0, refunded - released if is_counted else refunded)
