"""Rows that an earlier application left unprocessed: Stripe's redelivery fills them, and they take effect."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from ingest.errors import NotRecorded
from ingest.journal.journal import Journal
from ingest.journal.receipt import AlreadyRecorded, Recorded
from sluice.contract.codec import decode
from sluice.postgres.pool import Database
from tests.ingest.relay.test_sweeper import connected
from tests.ingest.running import running
from tests.ingest.webhooks import event, webhook

Postgres: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LEFT = "INSERT INTO webhook_logs (stripe_event_id, webhook_type, processing_attempts) VALUES ($1, 'its.own', 3)"


@pytest_asyncio.fixture
async def journal(role_url: Callable[[str], str]) -> AsyncIterator[Journal]:
    """A running journal with the rights of ingest and no more; whatever it tells of as new is a fault here."""
    async with Database.connect(role_url("ingest"), application_name="test") as database:
        journal = Journal(database, on_recorded=lambda _: None, on_failure=lambda _: None)
        task = asyncio.create_task(journal.run())
        yield journal
        task.cancel()
        await asyncio.wait([task])


async def test_a_redelivery_of_an_unprocessed_row_reaches_the_processor(
    role_url: Callable[[str], str], nats_url: str, postgres: Postgres
) -> None:
    """It is known, so it is a duplicate; and it is published with its body, as due."""
    body = webhook("evt_left")
    await postgres.execute(LEFT, "evt_left")
    async with running(role_url("ingest"), nats_url) as ingest, connected(nats_url) as stream:
        reply = await ingest.deliver(body)
        assert (reply.status, reply.json["duplicate"]) == (200, True)
        (message,) = await stream.fetch(1, within_seconds=10)
    envelope = decode(message.payload)
    assert (envelope.event.stripe_event_id, envelope.event.body, envelope.attempt) == ("evt_left", body, 3)


async def test_an_unprocessed_row_gets_all_that_came_and_is_due(journal: Journal, postgres: Postgres) -> None:
    """Body and envelope; its own history stays, the delivery is recorded, a repeat in the same write is one too."""
    await postgres.execute(LEFT, "evt_left")
    came = event("evt_left", account="acct_1", livemode=True)
    receipts = await asyncio.gather(*(journal.record(came, verified_by="platform:1") for _ in range(2)))
    assert receipts == [AlreadyRecorded(), AlreadyRecorded()]
    row = await postgres.fetchrow("SELECT *, next_attempt_at <= now() AS is_due FROM webhook_logs")
    assert row is not None
    assert (row["webhook_type"], row["stripe_account_id"], row["livemode"]) == (came.type, "acct_1", True)
    assert (row["api_version"], row["object_id"], row["tenant"]) == (came.api_version, came.object_id, None)
    assert (row["verified_by"], row["stripe_created_at"].timestamp()) == ("platform:1", came.created)
    assert bytes(row["body"]) == came.body
    assert (row["is_due"], row["published_at"], row["processing_attempts"], row["processed"]) == (True, None, 3, False)
    assert await postgres.fetchval("SELECT count(*) FROM webhook_delivery") == 2


@pytest.mark.parametrize("over", ["processed = true", "dead_at = now()", "body = 'its own'"])
async def test_a_row_that_is_over_or_has_a_body_stays_as_it_is(journal: Journal, postgres: Postgres, over: str) -> None:
    """A webhook that an earlier application has processed is a duplicate without effect."""
    await postgres.execute(LEFT, "evt_left")
    await postgres.execute(f"UPDATE webhook_logs SET {over}")  # noqa: S608  a test's own words
    before = await postgres.fetchrow("SELECT xmin::text, ctid::text, * FROM webhook_logs")
    assert await journal.record(event("evt_left"), verified_by="platform:1") == AlreadyRecorded()
    assert await postgres.fetchrow("SELECT xmin::text, ctid::text, * FROM webhook_logs") == before
    assert await postgres.fetchval("SELECT count(*) FROM webhook_delivery") == 1


async def test_a_delivery_of_a_locked_row_is_asked_for_again(journal: Journal, postgres: Postgres) -> None:
    """The delivery does not wait for it, and is not told that it is safe: the next delivery fills it."""
    await postgres.execute(LEFT, "evt_left")
    left = event("evt_left")
    async with postgres.transaction():
        await postgres.execute("SELECT FROM webhook_logs FOR UPDATE")
        async with asyncio.timeout(1):
            held, neighbour = await asyncio.gather(
                *(journal.record(came, verified_by="platform:1") for came in (left, event("evt_new"))),
                return_exceptions=True,
            )
    assert isinstance(held, NotRecorded)
    assert neighbour == Recorded()
    assert await journal.record(left, verified_by="platform:1") == AlreadyRecorded()
    assert await postgres.fetchval("SELECT body FROM webhook_logs WHERE stripe_event_id = 'evt_left'") == left.body
