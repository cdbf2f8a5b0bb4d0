"""Whatever never arrived, and in whatever order webhooks and passes came: the ledger is that of the whole history."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.postgres.pool import Database
from sluice.simulator.builder import SimulatedEvent, Subject
from sluice.simulator.catalog import SCENARIOS, play
from tests.payments.harness import Harness
from tests.payments.strategies import HARBOUR
from tests.reconciler.passing import Reconciling, deliver, reconciling
from tests.stripe_world import offline_stripe

DAY = 86_400
_ON_ONE_DATABASE = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@dataclass(frozen=True)
class Course:
    """One history and how it came: each step is a pass, or the delivery of one of its events."""

    history: Sequence[SimulatedEvent]
    steps: Sequence[int | None]
    """Places in the history, some of them repeated and some of them missing; None: a pass."""
    order: Sequence[int]
    """In which order the rows of the log are processed."""


@st.composite
def courses(draw: st.DrawFn) -> Course:
    """Any scenario, any subset never delivered, any order of webhooks and passes."""
    scenario = SCENARIOS[draw(st.sampled_from(sorted(SCENARIOS)))]
    subject = Subject("Night", HARBOUR)
    history = play(scenario, subject, seed=str(draw(st.integers(0, 9))), ends_at=int(time.time()) - 60)
    places = range(len(history))
    delivered = draw(st.lists(st.sampled_from(places), max_size=len(history) * 2))
    steps: list[int | None] = list(delivered)
    for _ in range(draw(st.integers(0, 3))):
        steps.insert(draw(st.integers(0, len(steps))), None)
    return Course(history, steps, draw(st.permutations(places)))


async def ledger_of(harness: Harness, events: Sequence[StripeEvent]) -> Mapping[str, Sequence[asyncpg.Record]]:
    """The ledger after these events, each by itself; it is rolled back."""
    undo = harness.tx.transaction()
    await undo.start()
    try:
        for event in events:
            await harness.apply(event)
        return await harness.contents()
    finally:
        await undo.rollback()


async def take(made: Reconciling, course: Course) -> Sequence[StripeEvent]:
    """Let a course happen, and give the events as the log has them at its end."""
    for event in course.history:
        made.world.happened(event.body)
    for step in course.steps:
        if step is None:
            await made.run()
        else:
            await deliver(made.database, course.history[step].body)
    await made.run()
    rows = await made.database.fetch("SELECT body FROM webhook_logs ORDER BY stripe_event_id")
    return [read_event(row["body"]) for row in rows]


@_ON_ONE_DATABASE
@given(course=courses())
async def test_any_course_ends_in_the_ledger_of_the_whole_history(
    harness: Harness, database: Database, course: Course
) -> None:
    """Each event is in the log once, and all of them together say the same as when each had been delivered."""
    whole = [read_event(event.body) for event in course.history]
    await database.execute("TRUNCATE webhook_logs, webhook_found, reconcile_account")
    await database.execute("UPDATE reconcile_lease SET until = '-infinity'")
    async with reconciling(database, offline_stripe(), overlap_seconds=2 * DAY) as made:
        found = await take(made, course)
    assert sorted(event.stripe_event_id for event in found) == sorted(event.stripe_event_id for event in whole)
    assert await ledger_of(harness, [found[place] for place in course.order]) == await ledger_of(harness, whole)
