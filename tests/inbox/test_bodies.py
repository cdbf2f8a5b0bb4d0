"""Bodies lie in the partition of their day, or in the row; every reader finds them in both places."""

import asyncio
from collections.abc import Sequence

import orjson
import pytest

from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.inbox import claims, publications, recorder
from sluice.inbox.claims import TransactionLimits
from sluice.postgres.migration_files import CORE_FOLDER
from sluice.postgres.pool import Connection, Database
from tests.inbox.rows import Delivered
from tests.migrations.databases import psql

LIMITS = TransactionLimits("5000", "2000", "5000")
IN_COLUMN = "UPDATE body_storage SET partitions_from = 'infinity'"
IN_PARTITIONS = "UPDATE body_storage SET partitions_from = '-infinity'"
UNPREPARED = "UPDATE body_storage SET partitions_until = '-infinity'"
WHERE_BODIES_ARE = """
SELECT stripe_event_id, body, body_id IS NOT NULL AS is_in_partition, sluice_body(body, body_id) AS whole
FROM webhook_logs
ORDER BY stripe_event_id
"""
LEAVES_LOCKED = """
SELECT DISTINCT relation::regclass::text AS name FROM pg_locks WHERE relation::regclass::text ~ '^webhook_body_[0-9]+$'
"""
TODAY = "SELECT 'webhook_body_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD') AS name"
ROLLBACK = CORE_FOLDER / "rollback" / "sprint3_webhook_bodies.sql"


def event(number: int) -> StripeEvent:
    """An event with a body of its own."""
    told: dict[str, object] = {"id": f"evt_{number:04}", "object": "event", "type": "test.effect", "livemode": True}
    told |= {"created": 1_790_000_000, "api_version": "2026-10-28.endive"}
    return read_event(orjson.dumps({**told, "data": {"object": {"id": f"ch_{number}", "object": "charge"}}}))


async def record(database: Database, *events: StripeEvent) -> Sequence[str]:
    """Record these as the journal does."""
    async with database.acquire() as connection:
        return await recorder.record_new(connection, [Delivered(one) for one in events], within_seconds=5)


async def claim(tx: Connection, events: Sequence[StripeEvent]) -> dict[str, bytes]:
    """Claim these in the caller's transaction; their bodies by id."""
    attempts = {one.stripe_event_id: 0 for one in events}
    rows = await claims.claim(tx, attempts, [], is_isolated=False, patience_seconds=60, limits=LIMITS)
    return {row["stripe_event_id"]: row["body"] for row in rows}


async def test_a_body_is_written_to_the_partition_of_its_day(database: Database) -> None:
    """Beside a narrow row that says where; the row's own column stays empty."""
    await record(database, event(1))
    (row,) = await database.fetch(WHERE_BODIES_ARE)
    assert (row["body"], row["is_in_partition"], row["whole"]) == (None, True, event(1).body)
    leaves = await database.fetch("SELECT tableoid::regclass::text AS name FROM webhook_body")
    assert leaves == await database.fetch(TODAY)


@pytest.mark.parametrize("change", [IN_COLUMN, UNPREPARED])
async def test_a_day_without_a_partition_keeps_its_bodies_in_the_row(database: Database, change: str) -> None:
    """Before the day from which partitions are used, and where none was made ahead; no write fails."""
    await database.execute(change)
    assert await record(database, event(1)) == ["evt_0001"]
    (row,) = await database.fetch(WHERE_BODIES_ARE)
    assert (row["body"], row["is_in_partition"]) == (event(1).body, False)


async def test_a_claim_reads_both_places(database: Database) -> None:
    """In one batch, in the order of the ids, as an upgrade leaves them."""
    events = [event(number) for number in range(1, 7)]
    for one in events:
        await database.execute(IN_COLUMN if one.stripe_event_id in {"evt_0002", "evt_0005"} else IN_PARTITIONS)
        await record(database, one)
    async with database.acquire() as tx, tx.transaction():
        claimed = await claim(tx, events)
    assert list(claimed.items()) == [(one.stripe_event_id, one.body) for one in events]


async def test_a_look_up_touches_one_partition(database: Database) -> None:
    """The one that the row's id names, however many there are; neither another nor the whole is locked."""
    await database.execute("SELECT sluice_prepare_bodies(20)")
    await record(database, event(1), event(2))
    (today,) = await database.fetch(TODAY)
    for statement in ("claim", "record"):
        async with database.acquire() as tx, tx.transaction():
            if statement == "claim":
                await claim(tx, [event(1), event(2)])
            else:
                await recorder.record(tx, [Delivered(event(1))], [None], within_seconds=5)
            locked = await tx.fetch(LEAVES_LOCKED)
            whole = await tx.fetchval("SELECT count(*) FROM pg_locks WHERE relation = 'webhook_body'::regclass")
            assert ([row["name"] for row in locked], whole) == ([today["name"]], 0), statement


async def test_a_look_up_goes_by_the_key_of_its_partition(database: Database) -> None:
    """EXPLAIN of what sluice_bodies runs: an index of that day's partition, and nothing read from others."""
    await record(database, *[event(number) for number in range(1, 50)])
    async with database.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        (row,) = await connection.fetch("SELECT body_id / 10000000000 AS day, body_id FROM webhook_logs LIMIT 1")
        plan = await connection.fetch(
            f"EXPLAIN SELECT b.id, b.body FROM webhook_body_{row['day']} AS b WHERE b.id = ANY ('{{{row['body_id']}}}')"  # noqa: S608
        )
    assert f"webhook_body_{row['day']}_pkey" in plan[0]["QUERY PLAN"]


async def test_of_two_that_record_one_webhook_one_stores_its_body(database: Database) -> None:
    """The other finds the row, and leaves no body behind that no row names."""
    async with database.acquire() as first, database.acquire() as second:
        transaction = first.transaction()
        await transaction.start()
        delivery = [Delivered(event(1))]
        assert await recorder.record_new(first, delivery, within_seconds=5) == ["evt_0001"]
        late = asyncio.create_task(recorder.record_new(second, delivery, within_seconds=5))
        await _waits_for_a_lock(database)
        await transaction.commit()
        assert await late == []
    assert await database.fetch("SELECT id FROM webhook_body") == await database.fetch(
        "SELECT body_id AS id FROM webhook_logs"
    )


async def test_the_relay_knows_the_length_and_reads_the_body(database: Database) -> None:
    """Of a body in a partition as of one in the row."""
    await record(database, event(1))
    await database.execute(IN_COLUMN)
    await record(database, event(2))
    await database.execute("UPDATE webhook_logs SET next_attempt_at = now()")
    claimed = await publications.claim_unpublished(database, ["evt_0001", "evt_0002"], within_seconds=5)
    assert {row.stripe_event_id: row.body_bytes for row in claimed} == {
        one.stripe_event_id: len(one.body) for one in (event(1), event(2))
    }
    bodies = await publications.read_bodies(database, ["evt_0001", "evt_0002"], within_seconds=5)
    assert bodies == {one.stripe_event_id: one.body for one in (event(1), event(2))}


async def test_a_webhook_whose_body_is_gone_is_known_and_not_replayed(database: Database) -> None:
    """After retention a redelivery is a duplicate that differs from nothing, and a replay leaves the row as it is."""
    await record(database, event(1))
    await database.execute("UPDATE webhook_logs SET processed = true, outcome = 'applied'")
    (row,) = await database.fetch("SELECT body_id / 10000000000 AS day FROM webhook_logs")
    await database.execute(f"DROP TABLE webhook_body_{row['day']}")
    assert await record(database, event(1)) == []
    async with database.acquire() as connection:
        (again,) = await recorder.record(connection, [Delivered(event(1))], [None], within_seconds=5)
        replayed = await connection.fetch("SELECT sluice_replay_ended_webhooks('{evt_0001}')")
    assert (again.is_new, again.body_differs, again.is_unfilled) == (False, False, False)
    assert replayed == []


async def test_a_rollback_loses_no_body(database: Database, database_url: str) -> None:
    """The release before finds bodies of what is not processed; the others stay in their partition."""
    await record(database, event(1), event(2), event(3))
    await database.execute(
        "UPDATE webhook_logs SET dead_at = now(), outcome = 'failed' WHERE stripe_event_id = 'evt_0002'"
    )
    await database.execute("UPDATE webhook_logs SET processed = true WHERE stripe_event_id = 'evt_0003'")
    assert "ERROR" not in psql(database_url, ROLLBACK).stderr
    await record(database, event(4))
    rows = {row["stripe_event_id"]: row for row in await database.fetch(WHERE_BODIES_ARE)}
    assert {event_id: row["whole"] for event_id, row in rows.items()} == {
        one.stripe_event_id: one.body for one in map(event, range(1, 5))
    }
    assert {event_id for event_id, row in rows.items() if row["is_in_partition"]} == {"evt_0003"}


async def _waits_for_a_lock(database: Database) -> None:
    async with asyncio.timeout(10):
        while not await database.fetch("SELECT FROM pg_stat_activity WHERE wait_event = 'transactionid'"):
            await asyncio.sleep(0.01)
