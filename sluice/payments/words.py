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


def newest_of(of_one: Collection[Fact], precedence: tuple[str, ...]) -> Fact:
    """The newest word on one object; within one second the one that stands later in its precedence."""
    places = {status: place for place, status in enumerate(precedence)}
    return max(of_one, key=lambda f: (f.said_at, places.get(f.status or "", -1), f.amount or 0, f.stripe_event_id))
