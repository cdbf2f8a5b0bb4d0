"""A thin event and its snapshot twin, in whatever order and however often: the effect takes place once."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from processor.payments.ledger import apply_facts
from sluice.error_log.error_log import ErrorLog
from sluice.postgres.pool import Database
from sluice.registry import handles_batch
from tests.processor.harness import EFFECTS, Harness, Message, with_effects
from tests.reconciler.passing import PLATFORM, deliver, reconciling
from tests.reconciler.thin.fetching import NOW, Fetching, event_of, fetching, intent, snapshot, thin
from tests.stripe_world import offline_stripe

FACTS = (1, 2)
_DUE = """
SELECT *, sluice_body(body, body_id) AS whole_body FROM webhook_logs
WHERE NOT processed AND dead_at IS NULL AND (published_at IS NOT NULL OR next_attempt_at <= now())
"""
_CLEAN = "TRUNCATE webhook_logs, webhook_found, thin_fetch, reconcile_account, effect, payment, payment_fact, events"


class Does(Enum):
    """One step of a course."""

    SNAPSHOT = "the snapshot event's webhook comes"
    THIN = "the thin event's webhook comes"
    FETCH = "the reconciler fetches what waits"
    PASS = "the reconciler lists what is missing"
    PROCESS = "the processor takes all that is due"


@dataclass(frozen=True)
class Course:
    """A history of two facts."""

    steps: Sequence[tuple[Does, int]]
    names_twin: bool
    """The thin event names its twin as it comes, not only when it is asked for."""
    has_twin: bool = True
    """Stripe still gives the snapshot event; else only the object."""


_STEPS = st.lists(st.tuples(st.sampled_from(Does), st.sampled_from(FACTS)), max_size=14)
_SNAPSHOT_FIRST = [(Does.SNAPSHOT, 1), (Does.PROCESS, 1), (Does.THIN, 1), (Does.PROCESS, 1), (Does.FETCH, 1)]
_THIN_FIRST = [(Does.THIN, 1), (Does.PROCESS, 1), (Does.FETCH, 1), (Does.PROCESS, 1), (Does.SNAPSHOT, 1)]


@pytest_asyncio.fixture
async def harness(database: Database, database_url: str) -> AsyncIterator[Harness]:
    """A processor with the ledger, and a handler of somebody's own that writes a row which may be there twice."""
    await database.execute(EFFECTS)
    harness = Harness(database, ErrorLog(database_url, service="processor"))
    handles_batch("payment_intent.succeeded", registry=harness.registry)(apply_facts)
    with_effects(harness.registry, "payment_intent.succeeded")
    yield harness


async def process(harness: Harness) -> None:
    """All that is due, as messages of the relay."""
    rows = await harness.database.fetch(_DUE)
    messages = [Message(event_of(row), row["processing_attempts"]).incoming() for row in rows]
    if messages:
        await harness.worker().take(messages)


async def follow(harness: Harness, made: Fetching, course: Course) -> None:
    """Let a course happen, and then all that is left to do."""
    async with reconciling(made.database, made.world) as passing:
        for does, number in course.steps:
            match does:
                case Does.SNAPSHOT:
                    await deliver(made.database, snapshot(number))
                case Does.THIN:
                    named = {"snapshot_event": f"evt_{number}"} if course.names_twin else {}
                    await deliver(made.database, thin(number, **named))
                case Does.FETCH:
                    await made.run()
                case Does.PASS if course.has_twin:
                    await passing.run(PLATFORM)
                case _:
                    await process(harness)
    await process(harness)
    await made.run()
    await process(harness)


def told(course: Course) -> set[int]:
    """The facts that have come to be known."""
    listed = course.has_twin and any(does is Does.PASS for does, _ in course.steps)
    return set(FACTS) if listed else {number for does, number in course.steps if does in (Does.SNAPSHOT, Does.THIN)}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(course=st.builds(Course, _STEPS, st.booleans(), st.booleans()))
@example(course=Course(_SNAPSHOT_FIRST, names_twin=False))
@example(course=Course(_THIN_FIRST, names_twin=False))
@example(course=Course(_THIN_FIRST, names_twin=True, has_twin=False))
@example(course=Course(_SNAPSHOT_FIRST, names_twin=False, has_twin=False))
async def test_twins_take_effect_once_in_any_order(harness: Harness, database: Database, course: Course) -> None:
    """Whatever comes first, twice, or never: each fact has one row, one effect, and one place in the ledger."""
    await database.execute(_CLEAN)
    await database.execute("UPDATE reconcile_lease SET until = '-infinity'")
    async with fetching(database, offline_stripe()) as made:
        for number in FACTS:
            made.world.put_object(intent(number), (False, None))
            made.world.happened_thinly(thin(number), snapshot_event=f"evt_{number}", created=NOW)
            if course.has_twin:
                made.world.happened(snapshot(number))
        await follow(replace(harness, database=database), made, course)
    facts = told(course)
    assert await harness.effects() == {f"evt_{number}": 1 for number in facts}
    rows = await database.fetch("SELECT payment_id, status FROM payment ORDER BY payment_id")
    assert [tuple(row) for row in rows] == [(f"pi_{number}", "paid") for number in sorted(facts)]
    left = await database.fetch("SELECT stripe_event_id FROM webhook_logs WHERE NOT processed OR dead_at IS NOT NULL")
    assert left == []
