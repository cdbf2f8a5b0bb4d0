"""Objects as fetched, mixed with webhooks in any order: all is as when each webhook had come once."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.simulator.builder import Subject
from sluice.simulator.catalog import SCENARIOS
from tests.payments.harness import Harness
from tests.payments.strategies import HARBOUR
from tests.payments.test_fetched import NOW, fetched, objects_at_the_end
from tests.stripe_world import run

_ANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
_HISTORIES: Mapping[str, Sequence[StripeEvent]] = {
    name: [
        read_event(event.body) for event in run(name, seed="any", ends_at=NOW - 600, subject=Subject("Night", HARBOUR))
    ]
    for name in sorted(SCENARIOS)
}
_SHOWN = (
    "SELECT payment_id AS id, status FROM payment WHERE status <> 'pending'"
    " UNION ALL SELECT id::text, payment_status FROM events"
    " UNION ALL SELECT invoice_id, status FROM invoice UNION ALL SELECT subscription_id, status FROM subscription"
    " ORDER BY 1"
)


@dataclass(frozen=True)
class Mix:
    """A history, and what came of it here, in some order; by name and place, which Hypothesis can show."""

    scenario: str
    webhooks: Sequence[int]
    """Places in the history."""
    looks: Sequence[tuple[int, int]]
    """After how many events of the history its objects were fetched, and in which second."""
    order: Sequence[int]
    at_once: int
    """How many the processor takes in one transaction."""

    @property
    def history(self) -> Sequence[StripeEvent]:
        """All webhooks."""
        return _HISTORIES[self.scenario]

    @property
    def came(self) -> Sequence[StripeEvent]:
        """The rows that were recorded, in their order; one state of an object is recorded once."""
        found = [
            fetched(thing, said_at=said_at)
            for place, said_at in sorted(self.looks, reverse=True)
            for thing in objects_at_the_end(self.history[:place])
        ]
        first = {look.stripe_event_id: look for look in found}
        all_of_it = [*(self.history[place] for place in self.webhooks), *first.values()]
        return [all_of_it[place] for place in self.order if place < len(all_of_it)]


@st.composite
def mixes(draw: st.DrawFn) -> Mix:
    """
    Any webhooks of a scenario and looks at its objects at any times, in any order.

    What never came is made good by a look after the end. A look falls between two seconds in which something happened:
    within one second nobody can tell which was first.
    """
    scenario = draw(st.sampled_from(sorted(_HISTORIES)))
    history = _HISTORIES[scenario]
    looks = [_look(draw, history, place) for place in draw(st.lists(st.sampled_from(_pauses(history)), max_size=2))]
    webhooks = list(range(len(history)))
    if draw(st.booleans()):
        webhooks = [place for place in webhooks if draw(st.booleans())]
        looks.append(_look(draw, history, len(history)))
    order = draw(st.permutations(range(len(history) * (1 + len(looks)))))
    return Mix(scenario, webhooks, looks, order, draw(st.integers(1, 5)))


def _pauses(history: Sequence[StripeEvent]) -> Sequence[int]:
    """Numbers of events after which a second ends."""
    ends = [place for place in range(1, len(history)) if history[place].created > history[place - 1].created]
    return [*ends, len(history)]


def _look(draw: st.DrawFn, history: Sequence[StripeEvent], place: int) -> tuple[int, int]:
    """After so many events, at some second before the next."""
    begin = history[place - 1].created
    end = history[place].created - 1 if place < len(history) else begin + 500
    return place, draw(st.integers(begin, end))


async def _apply(harness: Harness, events: Sequence[StripeEvent], at_once: int) -> None:
    await harness.wipe()
    await harness.receive(*events)
    for start in range(0, len(events), at_once):
        await harness.apply(*events[start : start + at_once])


@_ANY
@given(mix=mixes())
async def test_any_mix_ends_in_the_statuses_of_all_webhooks(harness: Harness, mix: Mix) -> None:
    """Of payments, rows, invoices and subscriptions."""
    await _apply(harness, mix.history, 1)
    whole = await harness.tx.fetch(_SHOWN)
    await _apply(harness, mix.came, mix.at_once)
    assert await harness.tx.fetch(_SHOWN) == whole


@_ANY
@given(mix=mixes(), chance=st.randoms(use_true_random=False))
async def test_two_orders_of_one_mix_end_in_the_same_ledger(harness: Harness, mix: Mix, chance: random.Random) -> None:
    """Fact by fact."""
    await _apply(harness, mix.came, mix.at_once)
    first = await harness.contents()
    other = list(mix.came)
    chance.shuffle(other)
    await _apply(harness, other, 1)
    assert await harness.contents() == first
