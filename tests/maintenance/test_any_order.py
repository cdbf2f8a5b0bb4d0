"""Retention, replays and redeliveries in any order: no effect is doubled, and no status changes."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from enum import Enum

import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from processor.payments.ledger import apply_facts
from sluice.contract.envelope import read_event
from sluice.error_log.error_log import ErrorLog
from sluice.inbox import recorder
from sluice.maintenance.maintenance import Retention
from sluice.postgres.pool import Database
from sluice.registry import handles_batch
from tests.inbox.rows import Delivered
from tests.maintenance.test_maintenance import run
from tests.processor.harness import EFFECTS, Harness, with_effects
from tests.reconciler.thin.fetching import snapshot
from tests.reconciler.thin.test_twins import process

WEBHOOKS = (1, 2)
_CLEAN = "TRUNCATE webhook_logs, webhook_body, webhook_delivery, effect, payment, payment_fact, events"
_OLDER = """
UPDATE webhook_logs
SET created_at = created_at - interval '40 days', processed_at = processed_at - interval '40 days',
    body_id = to_char(to_date((body_id / 10000000000)::text, 'YYYYMMDD') - 40, 'YYYYMMDD')::bigint * 10000000000
              + body_id % 10000000000
"""
_OLDER_BODIES = """
INSERT INTO webhook_body (id, body)
SELECT log.body_id, b.body FROM webhook_body AS b
JOIN webhook_logs AS log ON log.body_id % 10000000000 = b.id % 10000000000
ON CONFLICT DO NOTHING
"""
_MISSING_DAYS = """
SELECT DISTINCT body_id / 10000000000 AS day FROM webhook_logs
WHERE body_id IS NOT NULL AND to_regclass('webhook_body_' || body_id / 10000000000) IS NULL
"""
_MAKE_DAY = """
CREATE TABLE webhook_body_{day} (LIKE webhook_body INCLUDING ALL EXCLUDING IDENTITY);
ALTER TABLE webhook_body ATTACH PARTITION webhook_body_{day} FOR VALUES FROM ({day}0000000000) TO ({day}9999999999);
"""


class Does(Enum):
    """One step of a course."""

    DELIVER = "Stripe delivers a webhook, for the first time or again"
    PROCESS = "the processor takes all that is due"
    REPLAY = "an operator replays what was processed"
    WAIT = "forty days pass"
    FORGET = "retention takes bodies"
    DELETE = "retention deletes webhooks"


Course = Sequence[tuple[Does, int]]
_STEPS = st.lists(st.tuples(st.sampled_from(Does), st.sampled_from(WEBHOOKS)), max_size=16)


@pytest_asyncio.fixture
async def harness(database: Database, database_url: str) -> AsyncIterator[Harness]:
    """A processor with the ledger, and a handler of somebody's own that writes a row which may be there twice."""
    await database.execute(EFFECTS)
    harness = Harness(database, ErrorLog(database_url, service="processor"))
    handles_batch("payment_intent.succeeded", registry=harness.registry)(apply_facts)
    with_effects(harness.registry, "payment_intent.succeeded")
    yield harness


async def deliver(database: Database, number: int) -> bool:
    """As the journal: a new row, else a repeat; whether it was new."""
    delivery = Delivered(read_event(snapshot(number)))
    async with database.acquire() as connection:
        if await recorder.record_new(connection, [delivery], within_seconds=5):
            return True
        (known,) = await recorder.record(connection, [delivery], [None], within_seconds=5)
        assert (known.is_new, known.body_differs, known.is_unfilled) == (False, False, False)
        return False


async def wait(database: Database) -> None:
    """Make everything forty days older, each body in the partition of its day."""
    await database.execute(_OLDER)
    for row in await database.fetch(_MISSING_DAYS):
        await database.execute(_MAKE_DAY.format(day=row["day"]))
    await database.execute(_OLDER_BODIES)


async def follow(harness: Harness, url: str, course: Course) -> dict[int, int]:
    """Let a course happen, and then all that is left to do; how often each webhook might have had an effect."""
    database = harness.database
    runs = dict.fromkeys(WEBHOOKS, 0)
    for does, number in course:
        match does:
            case Does.DELIVER:
                runs[number] += await deliver(database, number)
            case Does.PROCESS:
                await process(harness)
            case Does.REPLAY:
                runs[number] += len(await database.fetch(f"SELECT sluice_replay_ended_webhooks('{{evt_{number}}}')"))
            case Does.WAIT:
                await wait(database)
            case Does.FORGET:
                await run(url, Retention(bodies_days=30))
            case Does.DELETE:
                await run(url, Retention(webhooks_days=31))
    await process(harness)
    return runs


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(course=_STEPS)
@example(course=[(Does.DELIVER, 1), (Does.WAIT, 1), (Does.FORGET, 1), (Does.PROCESS, 1), (Does.DELIVER, 1)])
@example(course=[(Does.DELIVER, 1), (Does.PROCESS, 1), (Does.WAIT, 1), (Does.FORGET, 1), (Does.REPLAY, 1)])
@example(course=[(Does.DELIVER, 1), (Does.PROCESS, 1), (Does.WAIT, 1), (Does.REPLAY, 1), (Does.FORGET, 1)])
@example(course=[(Does.DELIVER, 1), (Does.PROCESS, 1), (Does.WAIT, 1), (Does.DELETE, 1), (Does.DELIVER, 1)])
async def test_no_order_doubles_an_effect_or_changes_a_status(
    harness: Harness, database: Database, database_url: str, course: Course
) -> None:
    """Each webhook that came has one fact, its payment is paid, and its handler ran as often as it had a reason to."""
    await database.execute(_CLEAN)
    runs = await follow(replace(harness, database=database), database_url, course)
    came = {number for number, times in runs.items() if times}
    assert await harness.effects() == {f"evt_{number}": runs[number] for number in came}
    rows = await database.fetch("SELECT payment_id, status FROM payment ORDER BY payment_id")
    assert [tuple(row) for row in rows] == [(f"pi_{number}", "paid") for number in sorted(came)]
    assert len(await database.fetch("SELECT FROM payment_fact")) == len(came)
    assert await database.fetch("SELECT FROM webhook_logs WHERE NOT processed OR dead_at IS NOT NULL") == []
