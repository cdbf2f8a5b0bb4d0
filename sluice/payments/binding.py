"""Which ``events`` row a payment belongs to: a pure function of what is known of it and of what stands above it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sluice.payments.facts import Claim, ClaimedBy, Fact

_TRUST = {by: place for place, by in enumerate(ClaimedBy)}
_LONGEST_CHAIN = 3  # payment, invoice, subscription


@dataclass(frozen=True, slots=True)
class Binding:
    """A payment's ``events`` row, and how it came to it: tenant, metadata, reference, stored or inherited:<parent>."""

    events_id: str
    bound_by: str


def parent_of(facts: Iterable[Fact]) -> str | None:
    """The invoice of a payment or the subscription of an invoice: the earliest that any fact names."""
    named = [(fact.said_at, fact.stripe_event_id, fact.parent_id) for fact in facts if fact.parent_id is not None]
    return min(named)[2] if named else None


def bind(payment_id: str, known: Mapping[str, Iterable[Fact]]) -> Binding | None:
    """
    The row of one payment: what its own facts claim, else what it inherits, else the row that had stored its id.

    Args:
        known: the facts by payment id, of this payment and of everything above it, all of one scope.
    """
    return _own_or_inherited(payment_id, known, _LONGEST_CHAIN) or _strongest(known.get(payment_id, ()), is_stored=True)


def _own_or_inherited(payment_id: str, known: Mapping[str, Iterable[Fact]], steps: int) -> Binding | None:
    facts = known.get(payment_id, ())
    own = _strongest(facts, is_stored=False)
    parent = parent_of(facts)
    if own is not None or parent is None or steps == 1:
        return own
    above = _own_or_inherited(parent, known, steps - 1)
    return None if above is None else Binding(above.events_id, f"inherited:{parent}")


def _strongest(facts: Iterable[Fact], *, is_stored: bool) -> Binding | None:
    """The most trusted way of naming wins, within it the earliest fact; at equal seconds the smaller key."""
    claims = (
        (_TRUST[claim.by], fact.said_at, claim.events_id, claim)
        for fact in facts
        for claim in fact.claims
        if (claim.by is ClaimedBy.STORED) == is_stored
    )
    strongest: Claim | None = min(claims, default=(None,), key=lambda one: one[:3])[-1]
    return None if strongest is None else Binding(strongest.events_id, strongest.by.value)
