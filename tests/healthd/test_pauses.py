"""Health says what is paused and since when; what waits for the end of a pause is no backlog."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest_asyncio

from healthd.database import look_at_pauses, look_at_webhooks
from healthd.findings import pauses_findings
from healthd.observations import Observation, PausesSeen, Problem, Snapshot
from healthd.report import detailed
from healthd.rules import Reason, Status
from healthd.verdict import judge
from sluice.postgres.pool import Database
from tests.healthd.builders import seen

SECONDS = 5.0
PAUSE = "SELECT sluice_begin_pause($1, $2, 'it pays twice', 'ada')"
WAITING = """
WITH gone AS (
    INSERT INTO webhook_logs (stripe_event_id, webhook_type, created_at, next_attempt_at, processing_attempts, outcome)
    SELECT 'evt_' || n, 'test.effect', now() - interval '1 day', 'infinity', 1, 'failed' FROM generate_series(1, 3) AS n
    RETURNING stripe_event_id
)
INSERT INTO paused_webhook (stripe_event_id, pause_id) SELECT stripe_event_id, 1 FROM gone
"""


@pytest_asyncio.fixture
async def own(role_url: Callable[[str], str]) -> AsyncIterator[Database]:
    """PostgreSQL as healthd's own role sees it."""
    async with Database.connect(role_url("healthd"), application_name="healthd", max_size=1) as database:
        yield database


def test_a_pause_degrades_and_no_more() -> None:
    """Somebody decided on it."""
    findings = pauses_findings(seen(PausesSeen(in_force=2, oldest_age_seconds=1e6, waiting=10_000)))
    assert {finding.reason for finding in findings} == {Reason.PAUSED}
    assert judge(findings).status is Status.DEGRADED
    assert judge(findings).is_serving
    assert not pauses_findings(seen(PausesSeen()))


def test_a_look_that_failed_finds_nothing() -> None:
    """PostgreSQL away, or a schema that is behind, is another finding's to tell."""
    observation: Observation[PausesSeen] = seen(PausesSeen(in_force=1)).missed(Problem.NO_SCHEMA, at=1)
    assert not pauses_findings(observation)


async def test_what_is_in_force_is_seen_with_its_age(own: Database, database: Database) -> None:
    """A pause that has ended is none, whatever it has yet to let go."""
    assert await look_at_pauses(own, count_limit=10, within_seconds=SECONDS) == PausesSeen()
    await database.fetch(PAUSE, "all", None)
    await database.fetch(PAUSE, "type", "charge.*")
    await database.execute(WAITING)
    pauses = await look_at_pauses(own, count_limit=2, within_seconds=SECONDS)
    assert (pauses.in_force, pauses.waiting) == (2, 2)
    assert pauses.since is not None
    assert datetime.now(UTC) - pauses.since < timedelta(minutes=1)
    assert 0 <= pauses.oldest_age_seconds < 60
    await database.fetch("SELECT sluice_end_pauses('{1,2}', 'mended', 'ada')")
    pauses = await look_at_pauses(own, count_limit=10, within_seconds=SECONDS)
    assert (pauses.in_force, pauses.waiting, pauses.since) == (0, 3, None)


async def test_what_is_paused_is_no_backlog(own: Database, database: Database) -> None:
    """Neither in number nor in age, nor as failing; nor has KEDA anything to scale for."""
    await database.fetch(PAUSE, "all", None)
    await database.execute(WAITING)
    webhooks = await look_at_webhooks(own, count_limit=10, within_seconds=SECONDS)
    assert (webhooks.backlog, webhooks.failing, webhooks.oldest_unprocessed_age_seconds) == (0, 0, 0)
    [row] = await own.fetch("SELECT sluice_count_due(10)")
    assert row[0] == 0


async def test_what_a_pause_let_go_is_as_old_as_that(own: Database, database: Database) -> None:
    """Or the end of each pause would wake somebody up."""
    await database.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, created_at, next_attempt_at, resumed_at)"
        " VALUES ('evt_1', 'test.effect', now() - interval '1 day', now(), now())"
    )
    webhooks = await look_at_webhooks(own, count_limit=10, within_seconds=SECONDS)
    assert webhooks.backlog == 1
    assert webhooks.oldest_unprocessed_age_seconds < 60
    assert webhooks.oldest_untried_age_seconds < 60


def test_the_answer_says_since_when() -> None:
    """And how many webhooks wait."""
    at = datetime(2026, 11, 30, 3, tzinfo=UTC)
    told = detailed(
        Snapshot(pauses=seen(PausesSeen(in_force=1, since=at, waiting=7))), judge(frozenset()), now=0, at=at
    )
    assert told["pauses"] == {
        "age_seconds": 0.0,
        "problem": None,
        "in_force": 1,
        "since": "2026-11-30T03:00:00.000Z",
        "webhooks_waiting": 7,
    }
