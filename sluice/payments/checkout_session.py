"""``checkout.session.*``: a checkout speaks of its payment, or binds its subscription."""

from collections.abc import Mapping

from sluice.payments import fetched
from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import FactBuilder
from sluice.payments.facts import Fact, FactKind, NamedBy, Naming
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


def facts(builder: FactBuilder) -> tuple[Fact, ...]:
    """A ``setup`` session says nothing, a ``subscription`` one only links."""
    match _mode(builder):
        case "setup":
            return ()
        case "subscription":
            return _links(builder)
        case _:
            return _payment(builder)


def _mode(builder: FactBuilder) -> str:
    """Where the word is unknown, what the session has made tells: until 2019 there was none."""
    mode = text(builder.object, "mode")
    if mode in _MODES:
        return mode
    made = (name for name in ("payment_intent", "subscription", "setup_intent") if identifier(builder.object, name))
    return next(made, "payment").removesuffix("_intent")


def _payment(builder: FactBuilder) -> tuple[Fact, ...]:
    payment_id = identifier(builder.object, "payment_intent") or identifier(builder.object, "id")
    if payment_id is None:
        return ()
    status = _status(builder)
    return (
        builder.fact(
            payment_id,
            FactKind.SESSION,
            namings=_namings(builder),
            status=status,
            amount=whole(builder.object, "amount_total"),
            amount_captured=whole(builder.object, "amount_total") if status is PaymentStatus.PAID else None,
        ),
    )


def _links(builder: FactBuilder) -> tuple[Fact, ...]:
    subscription = identifier(builder.object, "subscription", "sub_")
    invoice = identifier(builder.object, "invoice", "in_")
    namings = _namings(builder)
    links = []
    if subscription is not None:
        links.append(builder.fact(subscription, FactKind.LINK, namings=namings))
    if invoice is not None:
        links.append(builder.fact(invoice, FactKind.LINK, namings=namings, parent_id=subscription))
    return tuple(links)


def _status(builder: FactBuilder) -> PaymentStatus | None:
    if builder.verb == fetched.VERB:
        return _status_as_fetched(builder)
    if builder.verb == "completed":
        return _COMPLETED_WITH.get(text(builder.object, "payment_status") or "", PaymentStatus.PROCESSING)
    return _BY_VERB.get(builder.verb)


def _status_as_fetched(builder: FactBuilder) -> PaymentStatus | None:
    """Of one that is unpaid the intent knows more: it is not begun, under way, or has failed."""
    if text(builder.object, "status") == "expired":
        return PaymentStatus.EXPIRED
    is_complete = text(builder.object, "status") == "complete"
    status = _COMPLETED_WITH.get(text(builder.object, "payment_status") or "")
    return status if is_complete and status is PaymentStatus.PAID else None


def _namings(builder: FactBuilder) -> tuple[Naming, ...]:
    reference = text(builder.object, "client_reference_id")
    referred = () if reference is None else (Naming(reference, NamedBy.REFERENCE),)
    return builder.metadata_naming + referred
