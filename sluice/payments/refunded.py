"""
How much of a payment went back, by its refunds and by its charges: a pure function of the set of facts.

Until Basil Stripe made a refund of what a partial capture let go of a hold. Nothing of that was ever taken, so it is
left out: for each capture one such refund, of just that amount, which was not made after the capture was told of.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from sluice.payments import refund
from sluice.payments.facts import Fact, FactKind
from sluice.payments.status import PaymentStatus
from sluice.payments.words import by_object, newest_of


class _Release(NamedTuple):
    """Amount that a capture released; sorted, the one that was told of first comes first."""

    amount: int
    told_at: int


def amount_back(known: Collection[Fact]) -> int:
    """The refunds that stand, or what the newest captured charge says, less what failed since: whichever is more."""
    refunds = _refunds(known)
    standing = sum(_amount(of_one) for of_one in refunds if not _has_failed(of_one))
    charges = [(f.said_at, f.amount) for f in known if f.kind is FactKind.CHARGE and f.amount is not None]
    if not charges:
        return standing
    said_at, amount_refunded = max(charges)
    failed_since = sum(_amount(of_one) for of_one in refunds if _failed_since(of_one, said_at))
    return max(standing, amount_refunded - failed_since, 0)


def _refunds(known: Collection[Fact]) -> Collection[Collection[Fact]]:
    """The facts of each refund that is one; what only let go of a hold is left out."""
    refunds = dict(by_object(known, FactKind.REFUND))
    if not refunds:
        return ()
    for release in sorted(_releases(known)):
        matching = [
            (_created_at(of_one), refund_id or "", refund_id)
            for refund_id, of_one in refunds.items()
            if _may_be(of_one, release)
        ]
        if matching:
            del refunds[min(matching)[2]]
    return refunds.values()


def _releases(known: Collection[Fact]) -> Iterator[_Release]:
    """By the captured charges; where none is known, the intent tells the same."""
    captured = [fact for fact in known if fact.progress is PaymentStatus.PAID]
    kind = FactKind.CHARGE if any(fact.kind is FactKind.CHARGE for fact in captured) else FactKind.INTENT
    for of_one in by_object(captured, kind).values():
        newest = max(of_one, key=lambda fact: (fact.said_at, fact.amount_captured or 0, fact.stripe_event_id))
        if newest.amount_released:
            yield _Release(newest.amount_released, _first(of_one, newest.amount_released))


def _first(of_one: Iterable[Fact], amount_released: int) -> int:
    """When this was told first; of a hold that is captured in parts, each part lets go of less."""
    return min(fact.said_at for fact in of_one if fact.amount_released == amount_released)


def _may_be(of_one: Collection[Fact], release: _Release) -> bool:
    """Whether a refund may be this release: no event since Basil tells of releases, and none fails."""
    return (
        all(fact.amount_released is not None for fact in of_one)
        and _amount(of_one) == release.amount
        and _created_at(of_one) <= release.told_at
        and not _has_failed(of_one)
    )


def _amount(of_one: Collection[Fact]) -> int:
    return newest_of(of_one, refund.PRECEDENCE, refund.UNDONE).amount or 0


def _created_at(of_one: Collection[Fact]) -> int:
    return min(fact.said_at if fact.object_created is None else fact.object_created for fact in of_one)


def _has_failed(of_one: Collection[Fact]) -> bool:
    return newest_of(of_one, refund.PRECEDENCE, refund.UNDONE).status in refund.UNDONE


def _failed_since(of_one: Collection[Fact], said_at: int) -> bool:
    """Whether a charge of that second still counted this refund, which has failed in the meantime."""
    if not _has_failed(of_one):
        return False
    failed_at = min(fact.said_at for fact in of_one if fact.status in refund.UNDONE)
    return _created_at(of_one) <= said_at <= failed_at
