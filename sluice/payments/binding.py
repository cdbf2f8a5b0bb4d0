"""
Bind a payment to an ``events`` row: a pure function of what is known of the payment and of the rows that exist.

A naming names a row. A row satisfies the naming where it exists and may be touched from the payment's scope. The
strongest naming that is satisfied binds; only where none is does the payment wait for the row of the strongest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sluice.payments.facts import Fact, NamedBy
from sluice.payments.scopes import allowed_scopes, is_platforms

_TRUST = {by.value: place for place, by in enumerate(NamedBy)}
_STORED = NamedBy.STORED.value
_LONGEST_CHAIN = 3  # payment, invoice, subscription
_MOST_AWAITED = 20  # they only say when to look again

Rows = Mapping[str, str | None]
"""The ``events`` rows that exist: by key the row's ``stripe_account_id``, None for the platform's own."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A payment's ``events`` row, how it came to it, and the rows that would be preferred."""

    events_id: str
    bound_by: str
    """``tenant``, ``metadata``, ``reference``, ``stored``, or ``inherited:<parent>``."""
    is_satisfied: bool = True
    """Whether the row exists and may be touched; else this is the strongest of the namings that wait."""
    awaits: tuple[str, ...] = ()
    """Keys of stronger namings that no row satisfies, the strongest first."""


class _Candidate(NamedTuple):
    events_id: str
    bound_by: str


def parent_of(facts: Iterable[Fact]) -> str | None:
    """The invoice of a payment or the subscription of an invoice: the earliest that any fact names."""
    named = [(fact.said_at, fact.stripe_event_id, fact.parent_id) for fact in facts if fact.parent_id is not None]
    return min(named)[2] if named else None


def bind(payment_id: str, scope: str, known: Mapping[str, Iterable[Fact]], rows: Rows) -> Binding | None:
    """
    Find the row of one payment among what its own facts naming, what it inherits, and the rows that stored its id.

    Args:
        known: the facts by payment id, of this payment and of everything above it, all of one scope.
        rows: of the rows that are named, those that exist.
    """
    chain = _chain(payment_id, known)
    accounts = _beneficiaries(chain, known) if is_platforms(scope) else frozenset[str]()
    candidates = _named_in(chain, known)
    awaits: list[str] = []
    for candidate in candidates:
        if _is_satisfied(candidate.events_id, scope, rows, accounts):
            return Binding(*candidate, awaits=tuple(awaits[:_MOST_AWAITED]))
        if candidate.events_id not in awaits:
            awaits.append(candidate.events_id)
    return Binding(*candidates[0], is_satisfied=False, awaits=tuple(awaits[:_MOST_AWAITED])) if candidates else None


def _chain(payment_id: str, known: Mapping[str, Iterable[Fact]]) -> Sequence[str]:
    """The payment, its invoice, the invoice's subscription."""
    chain = [payment_id]
    while len(chain) < _LONGEST_CHAIN and (above := parent_of(known.get(chain[-1], ()))) is not None:
        chain.append(above)
    return chain


def _named_in(chain: Sequence[str], known: Mapping[str, Iterable[Fact]]) -> Sequence[_Candidate]:
    """The payment's own namings first; each link's count as inherited from the next one; what rows store last."""
    own = _namings_of(known.get(chain[0], ()))
    candidates = [naming for naming in own if naming.bound_by != _STORED]
    for link in chain[1:]:
        inherited = [naming for naming in _namings_of(known.get(link, ())) if naming.bound_by != _STORED]
        candidates += [_Candidate(naming.events_id, f"inherited:{chain[1]}") for naming in inherited]
    return candidates + [naming for naming in own if naming.bound_by == _STORED]


def _namings_of(facts: Iterable[Fact]) -> Sequence[_Candidate]:
    """The most trusted way of naming first, within it the earliest fact; at equal seconds the smaller key."""
    namings = {
        (_TRUST[naming.by.value], fact.said_at, naming.events_id, naming.by.value)
        for fact in facts
        for naming in fact.namings
    }
    return [_Candidate(events_id, by) for _, _, events_id, by in sorted(namings)]


def _is_satisfied(events_id: str, scope: str, rows: Rows, accounts: frozenset[str]) -> bool:
    if events_id not in rows:
        return False
    account = rows[events_id]
    return scope in allowed_scopes(events_id, account) or account in accounts


def _beneficiaries(chain: Iterable[str], known: Mapping[str, Iterable[Fact]]) -> frozenset[str]:
    """The connected accounts for which the platform took the money: a row of such an account is meant."""
    facts = [fact for link in chain for fact in known.get(link, ())]
    named = {fact.destination for fact in facts} | {fact.on_behalf_of for fact in facts}
    return frozenset(account for account in named if account is not None)
