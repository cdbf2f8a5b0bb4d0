"""The words on each object of a payment: each dispute and each refund has a fate of its own."""

from collections.abc import Collection, Mapping

from sluice.payments.facts import Fact, FactKind


def by_object(known: Collection[Fact], kind: FactKind) -> Mapping[str | None, Collection[Fact]]:
    """The facts of one kind, by the object that they are about."""
    grouped: dict[str | None, list[Fact]] = {}
    for fact in known:
        if fact.kind is kind:
            grouped.setdefault(fact.object_id, []).append(fact)
    return grouped


def newest_of(of_one: Collection[Fact], precedence: tuple[str, ...], final: Collection[str]) -> Fact:
    """
    The newest word on one object; within one second the one that stands later in its precedence.

    A word that is not in the precedence is unknown to this release: it never takes back a final one.
    """
    places = {status: place for place, status in enumerate(precedence)}
    if any(fact.status in final for fact in of_one):
        of_one = [fact for fact in of_one if fact.status in places]
    return max(of_one, key=lambda f: (f.said_at, places.get(f.status or "", -1), f.amount or 0, f.stripe_event_id))
