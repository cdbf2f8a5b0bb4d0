"""``checkout.session.*``: a checkout speaks of its payment, or binds its subscription."""

from collections.abc import Mapping

from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import Saying
from sluice.payments.facts import Claim, ClaimedBy, Fact, FactKind
from sluice.payments.status import PaymentStatus
from sluice.payments.values import identifier, text, whole

TYPES: Mapping[str, EventType] = {
    "checkout.session.completed": EventType(
        "`paid` with `payment_status` `paid` or `no_payment_required`, `processing` with `unpaid`"
    ),
    "checkout.session.async_payment_succeeded": EventType("`paid`"),
    "checkout.session.async_payment_failed": EventType("`failed`"),
    "checkout.session.expired": EventType("`expired`"),
}

_BY_VERB = {
    "async_payment_succeeded": PaymentStatus.PAID,
    "async_payment_failed": PaymentStatus.FAILED,
    "expired": PaymentStatus.EXPIRED,
}
_COMPLETED_WITH = {
    "paid": PaymentStatus.PAID,
    "no_payment_required": PaymentStatus.PAID,
    "unpaid": PaymentStatus.PROCESSING,  # a delayed method: the customer has done their part
}
"""Any other word: ``processing``, for that the customer has done their part is all that the type itself says."""
_MODES = frozenset({"payment", "setup", "subscription"})


def facts(saying: Saying) -> tuple[Fact, ...]:
    """A ``setup`` session says nothing, a ``subscription`` one only links."""
    match _mode(saying):
        case "setup":
            return ()
        case "subscription":
            return _links(saying)
        case _:
            return _payment(saying)


def _mode(saying: Saying) -> str:
    """Where the word is unknown, what the session has made tells: until 2019 there was none."""
    mode = text(saying.thing, "mode")
    if mode in _MODES:
        return mode
    made = (name for name in ("payment_intent", "subscription", "setup_intent") if identifier(saying.thing, name))
    return next(made, "payment").removesuffix("_intent")


def _payment(saying: Saying) -> tuple[Fact, ...]:
    payment_id = identifier(saying.thing, "payment_intent") or identifier(saying.thing, "id")
    if payment_id is None:
        return ()
    status = _status(saying)
    return (
        saying.of(
            payment_id,
            FactKind.SESSION,
            claims=_claims(saying),
            status=status,
            amount=whole(saying.thing, "amount_total"),
            amount_captured=whole(saying.thing, "amount_total") if status is PaymentStatus.PAID else None,
        ),
    )


def _links(saying: Saying) -> tuple[Fact, ...]:
    subscription = identifier(saying.thing, "subscription", "sub_")
    invoice = identifier(saying.thing, "invoice", "in_")
    claims = _claims(saying)
    links = []
    if subscription is not None:
        links.append(saying.of(subscription, FactKind.LINK, claims=claims))
    if invoice is not None:
        links.append(saying.of(invoice, FactKind.LINK, claims=claims, parent_id=subscription))
    return tuple(links)


def _status(saying: Saying) -> PaymentStatus | None:
    if saying.verb == "completed":
        return _COMPLETED_WITH.get(text(saying.thing, "payment_status") or "", PaymentStatus.PROCESSING)
    return _BY_VERB.get(saying.verb)


def _claims(saying: Saying) -> tuple[Claim, ...]:
    reference = text(saying.thing, "client_reference_id")
    referred = () if reference is None else (Claim(reference, ClaimedBy.REFERENCE),)
    return saying.metadata_claim + referred
