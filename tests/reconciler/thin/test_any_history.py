"""The ledger is the same whether a fact is told by its snapshot event, by its thin one or by both."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.contract.envelope import read_event
from sluice.postgres.pool import Database
from sluice.simulator.builder import SimulatedEvent, Subject
from sluice.simulator.catalog import SCENARIOS, play
from tests.payments.harness import Harness
from tests.payments.strategies import HARBOUR
from tests.reconciler.passing import deliver
from tests.reconciler.test_any_history import ledger_of
from tests.reconciler.thin.fetching import Fetching, event_of, fetching
from tests.stripe_world import offline_stripe


@dataclass(frozen=True)
class Course:
    """One history, and how each of its facts was told."""

    history: Sequence[SimulatedEvent]
    steps: Sequence[tuple[int, bool] | None]
    """A place in the history, and whether its thin event came; None: what waits is fetched."""
    order: Sequence[int]
    """In which order the rows of the log are processed."""


@st.composite
def courses(draw: st.DrawFn) -> Course:
    """Any scenario, each event told at least once, in any order."""
    scenario = SCENARIOS[draw(st.sampled_from(sorted(SCENARIOS)))]
    history = play(scenario, Subject("Night", HARBOUR), seed="thin", ends_at=int(time.time()) - 60)
    places = range(len(history))
    told = [(place, draw(st.booleans())) for place in draw(st.permutations(places))]
    again = draw(st.lists(st.tuples(st.sampled_from(places), st.booleans()), max_size=len(history)))
    steps: list[tuple[int, bool] | None] = [*told, *again]
    for _ in range(draw(st.integers(0, 3))):
        steps.insert(draw(st.integers(0, len(steps))), None)
    return Course(history, steps, draw(st.permutations(places)))


def thin_of(snapshot: bytes) -> bytes:
    """The thin twin of an event."""
    event = orjson.loads(snapshot)
    return orjson.dumps(
        {
            "id": f"{event['id']}_thin",
            "object": "v2.core.event",
            "type": f"v1.{event['type']}",
            "created": datetime.fromtimestamp(event["created"], UTC).isoformat(),
            "livemode": event["livemode"],
        }
    )


async def take(made: Fetching, course: Course) -> None:
    """Let a course happen; a thin event that came before is a duplicate, and waits no second time."""
    waited: set[bytes] = set()
    for event in course.history:
        created = orjson.loads(event.body)["created"]
        made.world.happened(event.body)
        made.world.happened_thinly(
            thin_of(event.body), snapshot_event=orjson.loads(event.body)["id"], created=int(created)
        )
    for step in course.steps:
        if step is None:
            await made.run()
            continue
        place, is_thin = step
        snapshot = course.history[place].body
        if not is_thin:
            await deliver(made.database, snapshot)
        elif snapshot not in waited:
            waited.add(snapshot)
            await made.wait(thin_of(snapshot))
    await made.run()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(course=courses())
async def test_thin_or_snapshot_makes_no_difference_to_the_ledger(
    harness: Harness, database: Database, course: Course
) -> None:
    """Each fact has one row, which says what the webhook of the snapshot event would have said."""
    await database.execute("TRUNCATE webhook_logs, webhook_found, thin_fetch")
    async with fetching(database, offline_stripe()) as made:
        await take(made, course)
    rows = await database.fetch(
        "SELECT * FROM webhook_logs WHERE webhook_type NOT LIKE 'v1.%' ORDER BY stripe_event_id"
    )
    found, whole = [event_of(row) for row in rows], [read_event(event.body) for event in course.history]
    assert [event.stripe_event_id for event in found] == sorted(event.stripe_event_id for event in whole)
    assert await ledger_of(harness, [found[place] for place in course.order]) == await ledger_of(harness, whole)
    assert await database.fetch("SELECT FROM webhook_logs WHERE outcome IN ('fetching', 'unfetchable')") == []
