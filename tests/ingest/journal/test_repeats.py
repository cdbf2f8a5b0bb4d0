"""Deliveries that come again: a repeat, a dead webhook's new life, another test event under the same id."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import permutations
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from tests.ingest.auth.test_tenant_secrets import TENANT_SECRET, organiser, url
from tests.ingest.running import NOWHERE, Ingest, Reply, running
from tests.ingest.webhooks import webhook
from tests.metrics import counted
from tests.waiting import until

Postgres: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
ZEROS = "evt_00000000000000"
KILL = """
    UPDATE webhook_logs
    SET dead_at = now(), outcome = $1, processing_attempts = 16, last_error = 'why', parked_at = now(), solo_starts = 2,
        next_attempt_at = now() - interval '1 day', published_at = NULL
"""
ROW = """
    SELECT dead_at, outcome, processing_attempts, last_error, next_attempt_at = revived_at AS is_due, parked_at,
           solo_starts, published_at, revivals, revived_at IS NOT NULL AS was_revived
    FROM webhook_logs
"""
AS_NEW = {
    "dead_at": None, "outcome": None, "processing_attempts": 0, "last_error": "why", "is_due": True, "parked_at": None,
    "solo_starts": 0, "published_at": None, "revivals": 1, "was_revived": True,
}  # fmt: skip


@pytest_asyncio.fixture
async def quiet(role_url: Callable[[str], str], database_url: str) -> AsyncIterator[Ingest]:
    """Ingest with its own role and without NATS, whose sweep publishes nothing: rows stay as they were left."""
    del database_url
    async with running(role_url("ingest"), NOWHERE, relay_every_seconds=600) as ingest:
        yield ingest


async def keys(postgres: Postgres) -> set[str]:
    """All keys of the log."""
    return {row["stripe_event_id"] for row in await postgres.fetch("SELECT stripe_event_id FROM webhook_logs")}


def told(reply: Reply) -> tuple[int, str, bool]:
    """The answer as Stripe reads it."""
    return reply.status, reply.json["id"], reply.json["duplicate"]


@pytest.mark.parametrize("outcome", ["failed", "parked", None])
async def test_a_dead_webhook_that_comes_again_has_another_life(
    quiet: Ingest, postgres: Postgres, outcome: str | None
) -> None:
    """Due now, with all its attempts; how it ended, and how often it was revived, can still be read."""
    body = webhook("evt_1", livemode=True)
    await quiet.deliver(body)
    await postgres.execute(KILL, outcome)
    revived = counted("webhook_revived_total") or 0
    assert told(await quiet.deliver(body)) == (200, "evt_1", True)
    row = await postgres.fetchrow(ROW)
    assert row is not None
    assert dict(row) == AS_NEW
    assert counted("webhook_revived_total") == revived + 1
    assert await postgres.fetchval("SELECT array_agg(body_differs) FROM webhook_delivery") == [False]
    assert told(await quiet.deliver(body)) == (200, "evt_1", True)
    assert await postgres.fetchval("SELECT revivals FROM webhook_logs") == 1


async def test_what_may_not_live_again_stays_as_it_is(quiet: Ingest, postgres: Postgres) -> None:
    """Unsupported, written off, processed, waiting; and another body, which may be forged, revives nothing."""
    body = webhook("evt_1", livemode=True)
    await quiet.deliver(body)
    states = [
        ("dead_at = now(), outcome = 'unsupported'", body),
        ("dead_at = now(), processed = true, outcome = 'ignored'", body),
        ("dead_at = NULL, processed = true, outcome = 'applied'", body),
        ("dead_at = NULL, processed = false, outcome = 'failed', processing_attempts = 3", body),
        ("dead_at = now(), outcome = 'failed', processing_attempts = 16", webhook("evt_1", livemode=True)),
    ]
    for state, sent in states:
        await postgres.execute(f"UPDATE webhook_logs SET {state}")  # noqa: S608
        before = await postgres.fetchrow("SELECT * FROM webhook_logs")
        assert told(await quiet.deliver(sent)) == (200, "evt_1", True)
        assert await postgres.fetchrow("SELECT * FROM webhook_logs") == before
    assert await postgres.fetchval("SELECT count(*) FILTER (WHERE body_differs) FROM webhook_delivery") == 1


async def test_a_held_row_is_answered_503_until_it_can_be_revived(quiet: Ingest, postgres: Postgres) -> None:
    """A 200 would promise a life that it has not got."""
    body = webhook("evt_1", livemode=True)
    await quiet.deliver(body)
    await postgres.execute(KILL, "failed")
    async with postgres.transaction():
        await postgres.execute("SELECT FROM webhook_logs FOR UPDATE")
        reply = await quiet.deliver(body)
        assert (reply.status, reply.code) == (503, "not_recorded")
    assert (await quiet.deliver(body)).status == 200
    assert await postgres.fetchval("SELECT dead_at IS NULL FROM webhook_logs")


async def test_many_deliveries_at_several_ingests_give_one_life(
    quiet: Ingest, postgres: Postgres, role_url: Callable[[str], str]
) -> None:
    """The first revives it; no other does it again."""
    bodies = [webhook(f"evt_{number}", livemode=True) for number in range(20)]
    await asyncio.gather(*(quiet.deliver(body) for body in bodies))
    await postgres.execute(KILL, "failed")
    async with running(role_url("ingest"), NOWHERE, relay_every_seconds=600) as other:
        replies = await asyncio.gather(
            *(one.deliver(body) for _ in range(5) for body in bodies for one in (quiet, other))
        )
    assert {reply.status for reply in replies} <= {200, 503}
    await asyncio.gather(*(quiet.deliver(body) for body in bodies))
    rows = await postgres.fetch("SELECT revivals, dead_at FROM webhook_logs")
    assert [(row["revivals"], row["dead_at"]) for row in rows] == [(1, None)] * 20


async def test_test_events_of_other_types_under_one_id_are_webhooks_of_their_own(
    quiet: Ingest, postgres: Postgres
) -> None:
    """As the Dashboard's are; a true repeat of each is a repeat, whatever its body says of pending webhooks."""
    types = ["a.b", "c.d", "e.f"]
    for kind in types:
        assert told(await quiet.deliver(webhook("evt_1", type=kind))) == (200, "evt_1", False)
    for kind in types:
        assert told(await quiet.deliver(webhook("evt_1", type=kind, pending_webhooks=2))) == (200, "evt_1", True)
    assert await keys(postgres) == {"evt_1", "evt_1~c.d", "evt_1~e.f"}
    repeats = await postgres.fetch("SELECT stripe_event_id, body_differs FROM webhook_delivery ORDER BY 1")
    assert [tuple(row) for row in repeats] == [("evt_1", True), ("evt_1~c.d", True), ("evt_1~e.f", True)]


async def test_under_an_id_of_zeros_another_body_is_another_webhook(quiet: Ingest, postgres: Postgres) -> None:
    """The same bytes are a repeat."""
    bodies = [webhook(ZEROS, type="a.b"), webhook(ZEROS, type="a.b"), webhook(ZEROS, type="c.d")]
    for is_repeat in (False, True):
        for body in bodies:
            assert told(await quiet.deliver(body)) == (200, ZEROS, is_repeat)
    found = await keys(postgres)
    assert len(found) == 3
    assert ZEROS in found
    assert all(len(key.partition("~")[2]) == 16 for key in found - {ZEROS})


async def test_live_events_are_what_their_id_says(quiet: Ingest, postgres: Postgres) -> None:
    """One id is one live event; nor does a test event part from a live one, nor the other way round."""
    for first, second in ((True, True), (True, False), (False, True)):
        await postgres.execute("DELETE FROM webhook_logs")
        await quiet.deliver(webhook("evt_1", type="a.b", livemode=first))
        assert told(await quiet.deliver(webhook("evt_1", type="c.d", livemode=second))) == (200, "evt_1", True)
        assert await keys(postgres) == {"evt_1"}


async def test_the_key_of_an_organisers_test_event_stays_that_organisers(ingest: Ingest, postgres: Postgres) -> None:
    """Behind the type stands its row, so it cannot be another's."""
    row = await organiser(postgres)
    for kind in ("a.b", "c.d"):
        reply = await ingest.deliver(webhook("evt_1", type=kind), TENANT_SECRET, path=url(row))
        assert told(reply) == (200, "evt_1", False)
    await ingest.deliver(webhook("evt_1", type="c.d"))
    assert await keys(postgres) == {f"evt_1@{row}", f"evt_1~c.d@{row}", "evt_1"}


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_all_of_them_in_one_write_are_told_apart(
    quiet: Ingest, postgres: Postgres, order: tuple[int, ...]
) -> None:
    """Whatever stands first, and with repeats among them; each of the three is recorded once, the rest are repeats."""
    bodies = [webhook("evt_1", type="a.b"), webhook("evt_1", type="c.d"), webhook("evt_1", type="e.f")]
    async with postgres.transaction():
        await postgres.execute("LOCK TABLE webhook_logs IN SHARE MODE")
        first = asyncio.create_task(quiet.deliver(webhook("evt_0")))
        await until(lambda: postgres.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
        tasks = [asyncio.create_task(quiet.deliver(bodies[number])) for number in (*order, *order)]
        await until(lambda: quiet.service.probes.status()["journal"] == {"rows": 6, "bytes": _bytes(quiet)})
    replies = await asyncio.gather(first, *tasks)
    assert sorted(told(reply)[2] for reply in replies) == [False] * 4 + [True] * 3
    found = await keys(postgres)
    assert len(found) == 4
    assert {"evt_0", "evt_1"} < found
    assert await postgres.fetchval("SELECT count(*) FILTER (WHERE NOT body_differs) FROM webhook_delivery") == 3


def _bytes(ingest: Ingest) -> object:
    journal = ingest.service.probes.status()["journal"]
    assert isinstance(journal, dict)
    return journal["bytes"]
