"""Fold the known facts of a payment into its state: a pure function of their set, not of their order or repeats."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sluice.payments import dispute
from sluice.payments.facts import Fact, FactKind
from sluice.payments.refunded import amount_back
from sluice.payments.status import PaymentStatus
from sluice.payments.words import by_object, newest_of

# Within one second the later one wins: the further a payment has come, the newer the word.
_PROGRESS: Mapping[PaymentStatus | None, int] = {
    PaymentStatus.FAILED: 0,
    PaymentStatus.REQUIRES_ACTION: 1,
    PaymentStatus.PROCESSING: 2,
    PaymentStatus.AUTHORIZED: 3,
}
# Who knows best how much was captured.
_CAPTURE_WITNESSES = (FactKind.CHARGE, FactKind.INTENT, FactKind.INVOICE_PAYMENT, FactKind.SESSION)
_OVER_WITHOUT_CAPTURE = frozenset({PaymentStatus.CANCELED, PaymentStatus.EXPIRED})
_HOLDERS = frozenset({FactKind.INTENT, FactKind.CHARGE})


@dataclass(frozen=True, slots=True)
class PaymentState:
    """State of a payment; amounts in the currency's smallest unit."""

    status: PaymentStatus | None
    """None: no fact speaks of the payment itself."""
    amount_captured: int | None = None
    amount_back: int = 0
    """How much of it went back to the customer."""


NOTHING_KNOWN = PaymentState(status=None)


def fold(facts: Iterable[Fact]) -> PaymentState:
    """The state of one payment, by the table "The payment state" of docs/event-types.md."""
    known = frozenset(fact for fact in facts if fact.kind.is_of_money)
    if not known:
        return NOTHING_KNOWN
    captured, back = _amount_captured(known), amount_back(known)
    status = _disputed(known) or _paid(known, captured, back) or _unpaid(known)
    return PaymentState(status, captured, back)


def _disputed(known: Collection[Fact]) -> PaymentStatus | None:
    """Open beats lost; an inquiry, and a dispute that was won or prevented, leave no trace."""
    standing = {
        newest_of(of_one, dispute.PRECEDENCE, dispute.CLOSED).status
        for of_one in by_object(known, FactKind.DISPUTE).values()
    }
    if any(status not in dispute.CLOSED and not dispute.is_inquiry(status) for status in standing):
        return PaymentStatus.DISPUTED
    return PaymentStatus.CHARGED_BACK if dispute.LOST in standing else None


def _paid(known: Collection[Fact], captured: int | None, back: int) -> PaymentStatus | None:
    if not _is_captured(known):
        return None
    if back == 0:
        return PaymentStatus.PAID
    is_whole = captured is not None and back >= captured
    return PaymentStatus.REFUNDED if is_whole else PaymentStatus.PARTIALLY_REFUNDED


def _unpaid(known: Collection[Fact]) -> PaymentStatus:
    said = {fact.progress for fact in known}
    for status in (PaymentStatus.CANCELED, PaymentStatus.EXPIRED):
        if status in said:
            return status
    return _progress(known) or PaymentStatus.PENDING


def _is_captured(known: Collection[Fact]) -> bool:
    """
    Whether any object proves that money was taken.

    The release of a hold may come as a refund: of a payment that was canceled, a refund proves nothing.
    """
    is_released = any(fact.kind in _HOLDERS and fact.progress in _OVER_WITHOUT_CAPTURE for fact in known)
    return any(
        fact.progress is PaymentStatus.PAID
        or (fact.kind is FactKind.DISPUTE and not dispute.is_inquiry(fact.status))
        or (fact.kind is FactKind.REFUND and not is_released)
        for fact in known
    )


def _progress(known: Collection[Fact]) -> PaymentStatus | None:
    """
    How far an unpaid payment has come, by the newest word.

    A session that completes unpaid sounds like ``processing`` even where the money is held: the intent knows better.
    """
    words = [fact for fact in known if fact.progress in _PROGRESS]
    newest = max(words, key=_progress_order, default=None)
    better = max((fact for fact in words if fact.kind is not FactKind.SESSION), key=_progress_order, default=newest)
    if newest is None or better is None:
        return None
    is_unpaid_session = newest.kind is FactKind.SESSION and newest.progress is PaymentStatus.PROCESSING
    return better.progress if is_unpaid_session and better.progress is PaymentStatus.AUTHORIZED else newest.progress


def _progress_order(fact: Fact) -> tuple[int, int, bool]:
    return fact.said_at, _PROGRESS[fact.progress], fact.kind is not FactKind.SESSION


def _amount_captured(known: Collection[Fact]) -> int | None:
    for witness in _CAPTURE_WITNESSES:
        said = [(f.said_at, f.amount_captured) for f in known if f.kind is witness and f.amount_captured is not None]
        if said:
            return max(said)[1]
    return None
