"""Whatever never arrived, and in whatever form and order the rest came: all is as when each webhook had come once."""

import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.payments.billing import keep_invoices, keep_subscriptions
from processor.payments.ledger import apply_facts
from reconciler.accounts import Account
from sluice.error_log.error_log import ErrorLog
from sluice.payments import invoice, subscription
from sluice.payments.families import EVENT_TYPES
from sluice.postgres.pool import Database, Record
from sluice.registry import handles_batch
from sluice.simulator.builder import SimulatedEvent, Subject
from sluice.simulator.catalog import SCENARIOS, play
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from sluice.simulator.thin_twin import tell_both, thin_twin
from tests.payments.harness import Harness as Ledger
from tests.payments.strategies import HARBOUR
from tests.processor.harness import EFFECTS, Harness, Message, with_effects
from tests.reconciler.passing import Reconciling, deliver, reconciling
from tests.reconciler.thin.fetching import Fetching, event_of, fetching
from tests.stripe_world import offline_stripe

DAY = 86_400
CONNECTED = "acct_1Connected"
_DUE = """
SELECT *, sluice_body(body, body_id) AS whole_body FROM webhook_logs
WHERE NOT processed AND dead_at IS NULL AND (published_at IS NOT NULL OR next_attempt_at <= now())
ORDER BY stripe_event_id
"""
_CLEAN = "TRUNCATE webhook_logs, webhook_found, webhook_delivery, thin_fetch, reconcile_account, effect"
_LEFT = """
SELECT stripe_event_id, outcome, last_error FROM webhook_logs
WHERE NOT processed OR dead_at IS NOT NULL OR webhook_type LIKE 'v1.%' AND outcome IS DISTINCT FROM 'fetched'
"""


class Does(Enum):
    """One step of a course."""

    SNAPSHOT = "a snapshot event's webhook comes"
    THIN = "a thin event's webhook comes"
    FETCH = "the reconciler fetches what waits"
    PASS = "the reconciler lists what is missing"
    PROCESS = "the processor takes all that is due"


@dataclass(frozen=True)
class Course:
    """One history and how it came."""

    history: Sequence[SimulatedEvent]
    account: str | None
    steps: Sequence[tuple[Does, int]]
    """What happens, and for a webhook the place of its event in the history."""
    names_twin: bool
    """Whether thin events name their snapshot event as they come."""
    at_once: int
    """How many events the processor takes in one transaction."""
    chance: random.Random
    """In which order it takes them."""


_TELLING = ((), (Does.SNAPSHOT,), (Does.THIN,), (Does.SNAPSHOT, Does.THIN), (Does.THIN, Does.THIN, Does.SNAPSHOT))
"""Ways in which one event comes: not at all, in one form, in both, some of it twice."""
_BETWEEN = ((), (Does.PROCESS,), (Does.FETCH,), (Does.PROCESS, Does.FETCH))
"""Work that is done between two webhooks."""


@st.composite
def courses(draw: st.DrawFn) -> Course:
    """Any scenario, any subset never delivered, any order of webhooks of both kinds, passes, fetches and processing."""
    scenario = SCENARIOS[draw(st.sampled_from(sorted(SCENARIOS)))]
    account = draw(st.sampled_from((None, CONNECTED)))
    history = play(scenario, Subject("Night", HARBOUR, account), seed="any", ends_at=int(time.time()) - 60)
    webhooks = [(does, place) for place in range(len(history)) for does in draw(st.sampled_from(_TELLING))]
    steps = [
        step
        for webhook in draw(st.permutations(webhooks))
        for step in (webhook, *((does, 0) for does in draw(st.sampled_from(_BETWEEN))))
    ]
    for _ in range(draw(st.integers(0, 2))):
        steps.insert(draw(st.integers(0, len(steps))), (Does.PASS, 0))
    return Course(
        history,
        account,
        steps,
        names_twin=draw(st.booleans()),
        at_once=draw(st.integers(1, 6)),
        chance=draw(st.randoms(use_true_random=False)),
    )


@dataclass(frozen=True)
class Ending:
    """Everything that a history leads to."""

    ledger: Mapping[str, Sequence[Record]]
    """Payments, facts, invoices, subscriptions, and the statuses of rows."""
    effects: Mapping[str, int]
    """How often a handler of somebody's own wrote its row, by event."""
    outcomes: Mapping[str, str]
    """The outcome of each event of the history."""


@dataclass(frozen=True)
class System:
    """A processor with every handler of ours and one of somebody's own, on a ledger that can be read and wiped."""

    processor: Harness
    ledger: Ledger

    @property
    def database(self) -> Database:
        """Where all of it is."""
        return self.processor.database

    async def begin(self, account: str | None) -> None:
        """Nothing has happened yet; the row belongs to this account."""
        await self.ledger.wipe()
        await self.database.execute(_CLEAN)
        await self.database.execute("UPDATE reconcile_lease SET until = '-infinity'")
        await self.database.execute("UPDATE events SET stripe_account_id = $1", account)

    async def process(self, course: Course) -> None:
        """Take all that is due, as messages of the relay."""
        rows = list(await self.database.fetch(_DUE))
        course.chance.shuffle(rows)
        for start in range(0, len(rows), course.at_once):
            messages = [
                Message(event_of(row), row["processing_attempts"]).incoming()
                for row in rows[start : start + course.at_once]
            ]
            await self.processor.worker().take(messages)

    async def ending(self, course: Course) -> Ending:
        """Read the ending; nothing may be left to do."""
        assert await self.database.fetch(_LEFT) == []
        ids = [event.stripe_event_id for event in course.history]
        rows = await self.database.fetch(
            "SELECT stripe_event_id, outcome FROM webhook_logs WHERE stripe_event_id = ANY ($1)", ids
        )
        outcomes = {row["stripe_event_id"]: row["outcome"] for row in rows}
        return Ending(await self.ledger.contents(), await self.processor.effects(), outcomes)


@pytest_asyncio.fixture
async def system(database: Database, database_url: str, harness: Ledger) -> AsyncIterator[System]:
    """The whole of it, on a test's own database."""
    await database.execute(EFFECTS)
    processor = Harness(database, ErrorLog(database_url, service="processor"))
    handles_batch(*EVENT_TYPES, registry=processor.registry)(apply_facts)
    handles_batch(*invoice.TYPES, registry=processor.registry)(keep_invoices)
    handles_batch(*subscription.TYPES, registry=processor.registry)(keep_subscriptions)
    with_effects(processor.registry, *sorted(_all_types()))
    yield System(processor, harness)


def _all_types() -> set[str]:
    """Every type of every scenario, those included that no handler of ours takes."""
    return {
        event.type
        for scenario in SCENARIOS.values()
        for event in play(scenario, Subject("Night", HARBOUR), seed="any", ends_at=int(time.time()))
    }


async def as_it_should_be(system: System, course: Course) -> Ending:
    """The ending of the whole history, delivered once and in order."""
    await system.begin(course.account)
    for event in course.history:
        await deliver(system.database, event.body)
        await system.process(course)
    return await system.ending(course)


async def follow(system: System, world: OfflineStripe, course: Course) -> Ending:
    """Let a course happen, then all that is left to do: a pass, the fetches, and the processing of both."""
    await system.begin(course.account)
    account = Account(livemode=False, account=course.account)
    for event in course.history:
        tell_both(world, event)
    async with (
        fetching(system.database, world) as fetches,
        reconciling(system.database, world, overlap_seconds=2 * DAY) as passes,
    ):
        await passes.expect(account)
        for does, place in course.steps:
            await _step(system, course, does, course.history[place], (fetches, passes, account))
        await system.process(course)
        await passes.run(account)
        await fetches.run()
        await system.process(course)
    return await system.ending(course)


async def _step(
    system: System, course: Course, does: Does, event: SimulatedEvent, by: tuple[Fetching, Reconciling, Account]
) -> None:
    fetches, passes, account = by
    match does:
        case Does.SNAPSHOT:
            await deliver(system.database, event.body)
        case Does.THIN:
            await deliver(system.database, thin_twin(event, names_twin=course.names_twin).body)
        case Does.FETCH:
            await fetches.run()
        case Does.PASS:
            await passes.run(account)
        case Does.PROCESS:
            await system.process(course)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(course=courses())
async def test_any_course_ends_as_the_whole_history_delivered_once(system: System, course: Course) -> None:
    """Each fact is in the log once, and has its place in the ledger, its status and its effects, however it came."""
    whole = await as_it_should_be(system, course)
    assert await follow(system, offline_stripe(), course) == whole
    assert whole.effects == dict.fromkeys((event.stripe_event_id for event in course.history), 1)
