"""Handlers find their events."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from hypothesis import given
from hypothesis import strategies as st

from sluice import Applied, Ignored, Outcome, Parked, StripeEvent, handles, handles_batch, is_rehearsal
from sluice.outcomes import combine
from sluice.registry import Registry
from sluice.rehearsal import rehearsing

if TYPE_CHECKING:
    from sluice import Transaction


def event(name: str) -> StripeEvent:
    """An event of type ``a``."""
    return StripeEvent(name, "a", 0, True, None, None, None, None, b"{}")


NO_DATABASE = cast("Transaction", None)  # no handler here touches it


async def test_a_handler_of_one_event_runs_once_for_each_of_a_batch() -> None:
    """A handler of one event serves a whole batch, and None means Applied."""
    registry = Registry()
    seen: list[str] = []

    @handles("a", "b", registry=registry)
    async def handler(event: StripeEvent, tx: "Transaction") -> Outcome | None:
        seen.append(event.stripe_event_id)
        return Ignored("second") if event.stripe_event_id == "evt_2" else None

    (batch_handler,) = registry.handlers_for("a")
    outcomes = await batch_handler([event("evt_1"), event("evt_2")], NO_DATABASE)
    assert seen == ["evt_1", "evt_2"]
    assert outcomes == {"evt_1": Applied(), "evt_2": Ignored("second")}


async def test_two_handlers_of_one_type_both_take_part() -> None:
    """A team's own handler does not push out the one that Sluice brings."""
    registry = Registry()

    @handles_batch("a", registry=registry)
    async def first(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
        return {}

    @handles_batch("a", registry=registry)
    async def second(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
        return {}

    assert registry.handlers_for("a") == (first, second)
    assert registry.handlers_for("unknown") == ()
    assert registry.types == {"a"}


async def test_an_organisers_event_goes_to_those_alone_that_ask_for_it() -> None:
    """Its amounts, ids and metadata are the organiser's own word, which a handler must know that it takes."""
    registry = Registry()

    @handles("a", registry=registry)
    async def of_the_platform(event: StripeEvent, tx: "Transaction") -> None:
        """Trust what it is given."""

    @handles("a", registry=registry, organisers=True)
    async def of_all(event: StripeEvent, tx: "Transaction") -> None:
        """Look at the tenant."""

    @handles_batch("a", registry=registry, organisers=True)
    async def batch(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
        return {}

    def names_of(told: StripeEvent) -> list[str]:
        return [handler.__name__ for handler in registry.handlers_of(told)]

    assert names_of(event("evt_1")) == ["of_the_platform", "of_all", "batch"]
    assert names_of(replace(event("evt_1@7"), tenant="7")) == ["of_all", "batch"]


@given(st.permutations([Applied(), Ignored("x"), Parked("y")]))
def test_waiting_beats_done_beats_ignored(outcomes: list[Outcome]) -> None:
    """An event is settled only when no handler waits."""
    first, second, third = outcomes
    assert combine(combine(first, second), third) == Parked("y")


def test_a_registry_knows_whether_a_handler_asks_stripe() -> None:
    """Only then is its key missed."""
    registry = Registry()

    @handles("a", registry=registry)
    async def quiet(event: StripeEvent, tx: "Transaction") -> None:
        """Call no handler."""

    assert not registry.asks_stripe

    @handles("a", registry=registry, asks_stripe=True)
    async def curious(event: StripeEvent, tx: "Transaction") -> None:
        """Ask Stripe."""

    assert registry.asks_stripe
    others = Registry()

    @handles_batch("a", registry=others, asks_stripe=True)
    async def curious_batch(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
        return {}

    assert others.asks_stripe


def test_a_registry_tells_what_is_registered() -> None:
    """Each handler by name, with its types, and whether it takes organisers' events and acts outside PostgreSQL."""
    registry = Registry()

    @handles("b", "a", registry=registry, acts_outside=True)
    async def mail(event: StripeEvent, tx: "Transaction") -> None:
        del event, tx

    @handles_batch("a", registry=registry, organisers=True)
    async def count(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
        del events, tx
        return {}

    by_name = {one.name.rpartition(".")[2]: one for one in registry.registered}
    assert (by_name["mail"].types, by_name["mail"].organiser_types, by_name["mail"].acts_outside) == (
        ["a", "b"],
        [],
        True,
    )
    assert (by_name["count"].types, by_name["count"].organiser_types) == (["a"], ["a"])
    assert not by_name["count"].acts_outside


def test_a_part_of_a_registry_keeps_what_it_knows_of_its_handlers() -> None:
    """And the whole stays as it is."""
    registry = Registry()

    @handles("a", registry=registry, acts_outside=True)
    async def mail(event: StripeEvent, tx: "Transaction") -> None:
        del event, tx

    @handles("a", "b", registry=registry)
    async def keep(event: StripeEvent, tx: "Transaction") -> None:
        del event, tx

    part = registry.only(lambda handler: not registry.acts_outside(handler))
    [handler] = part.handlers_for("a")
    assert part.is_patient(handler)
    assert part.types == {"a", "b"}
    assert registry.only(registry.acts_outside).types == {"a"}
    assert len(registry.handlers_for("a")) == 2


async def test_a_rehearsal_is_known_to_what_runs_in_it() -> None:
    """Tasks and threads, too; and to nothing after it."""

    async def look() -> bool:
        return is_rehearsal()

    with rehearsing():
        assert await asyncio.create_task(look())
        assert await asyncio.to_thread(is_rehearsal)
    assert not is_rehearsal()
