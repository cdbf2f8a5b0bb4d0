"""Partitions are ready before they are needed, and what retention takes nobody needs."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import asyncpg
import pytest

from sluice.inbox import recorder
from sluice.maintenance.maintenance import Maintenance, Retention
from sluice.postgres.pool import Database
from tests.inbox.rows import Delivered
from tests.inbox.test_bodies import event, record

RoleUrl = Callable[[str], str]
# A day long past, as maintain would have made it then.
MAKE_OLD_DAY = """
CREATE TABLE webhook_body_20260101 (LIKE webhook_body INCLUDING ALL EXCLUDING IDENTITY);
ALTER TABLE webhook_body ATTACH PARTITION webhook_body_20260101
    FOR VALUES FROM (202601010000000000) TO (202601020000000000);
"""
AGE = """
WITH moved AS (
    INSERT INTO webhook_body (id, body)
    SELECT 202601010000000000 + b.id % 10000000000, b.body FROM webhook_body AS b ORDER BY b.id
)
UPDATE webhook_logs
SET created_at = '2026-01-01 12:00+00', processed_at = CASE WHEN processed THEN timestamptz '2026-01-01 12:00+00' END,
    body_id = 202601010000000000 + body_id % 10000000000
WHERE body_id IS NOT NULL
"""
DISPUTED = """
INSERT INTO payment (scope, payment_id, status) VALUES ('live:platform', 'pi_1', 'disputed');
INSERT INTO payment_fact (scope, payment_id, stripe_event_id, said_at, kind)
VALUES ('live:platform', 'pi_1', 'evt_0003', now(), 'intent')
"""


async def run(url: str, retention: Retention | None = None, **options: int) -> Counter[str]:
    """One run, to its end; so many of what."""
    connection = await asyncpg.connect(url, statement_cache_size=0)
    totals: Counter[str] = Counter()
    try:
        work = Maintenance(connection, retention or Retention(), ends_at=time.monotonic() + 60, **options)
        async for done in work.run():
            totals[done.what] += done.number
    finally:
        await connection.close()
    return totals


async def age_everything(database: Database) -> None:
    """Make all that is recorded a webhook of a day long past."""
    await database.execute(MAKE_OLD_DAY)
    await database.execute(AGE)


async def bodies(database: Database) -> dict[str, bytes | None]:
    """Every webhook's body, as a reader finds it."""
    rows = await database.fetch("SELECT stripe_event_id, sluice_body(body, body_id) AS body FROM webhook_logs")
    return {row["stripe_event_id"]: row["body"] for row in rows}


async def test_partitions_are_made_ahead_by_a_role_that_reads_nothing(database: Database, role_url: RoleUrl) -> None:
    """For more than a week, each with row level security, and safe to repeat."""
    assert (await run(role_url("maintainer")))["days ready"] == 8
    assert (await run(role_url("maintainer")))["days ready"] == 8
    (found,) = await database.fetch(
        "SELECT count(*) AS leaves, bool_and(c.relrowsecurity) AS secured, bool_and(c.relacl IS NOT NULL) AS revoked"
        " FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid WHERE inhparent = 'webhook_body'::regclass"
    )
    assert tuple(found) == (9, True, True)


async def test_making_partitions_waits_for_nobody_who_reads_or_writes(database: Database, role_url: RoleUrl) -> None:
    """Transactions that have written and read bodies stay open meanwhile, and others begin."""
    async with database.acquire() as writer, writer.transaction():
        await recorder.record_new(writer, [Delivered(event(1))], within_seconds=5)
        await writer.fetch("SELECT sluice_body(body, body_id) FROM webhook_logs")
        assert (await run(role_url("maintainer")))["days ready"] == 8
        assert await record(database, event(2)) == ["evt_0002"]


async def test_a_finding_tells_of_days_that_are_not_ready(database: Database) -> None:
    """Fewer than three after today; not where maintain has never run."""
    findings = "SELECT name FROM sluice_schema_findings() WHERE name = 'bodies_unprepared'"
    assert not await database.fetch(findings)
    await database.execute("UPDATE body_storage SET partitions_until = (now() AT TIME ZONE 'UTC')::date + 3")
    assert await database.fetch(findings)
    await database.execute("UPDATE body_storage SET partitions_until = '-infinity'")
    assert not await database.fetch(findings)


async def test_an_old_day_goes_and_what_is_needed_stays(database: Database, role_url: RoleUrl) -> None:
    """Bodies of the unprocessed, of the dead and of a disputed payment; the rows of all, with their outcomes."""
    await record(database, *[event(number) for number in range(1, 6)])
    await database.execute(
        "UPDATE webhook_logs SET processed = true, outcome = 'applied' WHERE stripe_event_id > 'evt_0002'"
    )
    await database.execute("UPDATE webhook_logs SET dead_at = now() WHERE stripe_event_id = 'evt_0002'")
    await database.execute(DISPUTED)
    await age_everything(database)
    totals = await run(role_url("maintainer"), Retention(bodies_days=30))
    assert (totals["bodies kept"], totals["days dropped"]) == (3, 1)
    kept = {"evt_0001", "evt_0002", "evt_0003"}
    assert await bodies(database) == {
        one.stripe_event_id: one.body if one.stripe_event_id in kept else None for one in map(event, range(1, 6))
    }
    assert not await database.fetch("SELECT FROM pg_class WHERE relname = 'webhook_body_20260101'")
    assert (await database.fetch("SELECT kept_from > 202601020000000000 AS told FROM body_storage"))[0]["told"]


async def test_a_day_of_which_a_body_is_being_replayed_stays(database: Database, role_url: RoleUrl) -> None:
    """The replay has read it and not committed; afterwards the body is needed, and moved."""
    await record(database, event(1))
    await database.execute("UPDATE webhook_logs SET processed = true, outcome = 'applied'")
    await age_everything(database)
    async with database.acquire() as operator, operator.transaction():
        assert await operator.fetch("SELECT sluice_replay_ended_webhooks('{evt_0001}')")
        maintaining = asyncio.create_task(run(role_url("maintainer"), Retention(bodies_days=30)))
        await _waits_for(database, "relation")
    totals = await maintaining
    assert await bodies(database) == {"evt_0001": event(1).body}
    assert totals["days needed"] == 1
    assert (await run(role_url("maintainer"), Retention(bodies_days=30)))["days dropped"] == 1
    assert await bodies(database) == {"evt_0001": event(1).body}


async def test_a_row_in_a_processors_hand_keeps_its_day(database: Database, role_url: RoleUrl) -> None:
    """Its body cannot be moved while it is claimed, so the partition waits for the next run."""
    await record(database, event(1), event(2))
    await age_everything(database)
    async with database.acquire() as processor, processor.transaction():
        await processor.execute("SELECT FROM webhook_logs WHERE stripe_event_id = 'evt_0001' FOR UPDATE")
        totals = await run(role_url("maintainer"), Retention(bodies_days=30))
        assert (totals["bodies kept"], totals["days needed"]) == (1, 1)
    assert await bodies(database) == {one.stripe_event_id: one.body for one in (event(1), event(2))}


async def test_a_day_whose_bodies_are_vacuumed_holds_up_no_writer(database: Database, role_url: RoleUrl) -> None:
    """Autovacuum is in the TOAST table by itself: whoever waits for it has no lock on the whole."""
    await record(database, event(1))
    await database.execute("UPDATE webhook_logs SET processed = true")
    await age_everything(database)
    (toast,) = await database.fetch(
        "SELECT reltoastrelid::regclass AS name FROM pg_class WHERE relname = 'webhook_body_20260101'"
    )
    async with database.acquire() as vacuum, vacuum.transaction():
        await vacuum.fetch(f"SELECT FROM {toast['name']}")
        maintaining = asyncio.create_task(run(role_url("maintainer"), Retention(bodies_days=30)))
        await _waits_for(database, "relation")
        held = "SELECT mode FROM pg_locks WHERE relation = 'webhook_body'::regclass AND mode = 'AccessExclusiveLock'"
        assert await database.fetch(held) == []
        assert await record(database, event(2)) == ["evt_0002"]
    assert (await maintaining)["days dropped"] == 1


async def test_bodies_in_rows_age_out_too(database: Database, role_url: RoleUrl) -> None:
    """Those of before the partitions, in steps; what is not processed and what is young stays."""
    await database.execute("UPDATE body_storage SET partitions_from = 'infinity'")
    await record(database, *[event(number) for number in range(1, 8)])
    await database.execute(
        "UPDATE webhook_logs SET processed = true, created_at = '2026-01-01' WHERE stripe_event_id > 'evt_0001'"
    )
    await database.execute("UPDATE webhook_logs SET created_at = now() WHERE stripe_event_id = 'evt_0007'")
    totals = await run(role_url("maintainer"), Retention(bodies_days=30), rows_at_once=2)
    assert totals["bodies taken from rows"] == 5
    assert {event_id for event_id, body in (await bodies(database)).items() if body} == {"evt_0001", "evt_0007"}


async def test_old_webhooks_go_with_their_repeats_and_the_facts_stay(database: Database, role_url: RoleUrl) -> None:
    """Unprocessed webhooks, those processed late and disputed ones stay whole."""
    await record(database, *[event(number) for number in range(1, 7)])
    await database.execute(DISPUTED)
    await database.execute(
        "INSERT INTO payment_fact (scope, payment_id, stripe_event_id, said_at, kind)"
        " VALUES ('live:platform', 'pi_2', 'evt_0005', now(), 'intent')"
    )
    await database.execute("INSERT INTO webhook_delivery (stripe_event_id) SELECT stripe_event_id FROM webhook_logs")
    await database.execute(
        "UPDATE webhook_logs SET created_at = '2026-01-01', processed = stripe_event_id <> 'evt_0001'"
    )
    await database.execute("UPDATE webhook_logs SET processed_at = now() WHERE stripe_event_id = 'evt_0002'")
    totals = await run(role_url("maintainer"), Retention(webhooks_days=31), rows_at_once=2)
    assert totals["webhooks deleted"] == 3
    left = "SELECT stripe_event_id FROM {} ORDER BY stripe_event_id"
    for table in ("webhook_logs", "webhook_delivery"):
        rows = await database.fetch(left.format(table))
        assert [row["stripe_event_id"] for row in rows] == ["evt_0001", "evt_0002", "evt_0003"], table
    assert len(await database.fetch("SELECT FROM payment_fact")) == 2


async def test_a_webhook_of_the_last_31_days_is_never_deleted(database: Database, role_url: RoleUrl) -> None:
    """Not by the function itself, whoever calls it with what: Stripe may send it again."""
    async with database.acquire() as connection:
        for moment in ("now()", "now() - interval '30 days 23 hours'"):
            with pytest.raises(asyncpg.RaiseError, match="31 days"):
                await connection.execute(f"SELECT sluice_delete_webhooks({moment}, 10)")


async def test_errors_and_items_go_by_age(database: Database, role_url: RoleUrl) -> None:
    """An unresolved critical error stays, and who did what and why; items of a young operation too."""
    await database.execute(
        "INSERT INTO error_logs (severity, message, resolved, created_at) VALUES ('error', 'a', false, '2026-01-01'),"
        " ('critical', 'b', false, '2026-01-01'), ('critical', 'c', true, '2026-01-01'), ('error', 'd', false, now())"
    )
    await database.execute(
        "INSERT INTO operation (verb, filter, reason, person, ended_at)"
        " VALUES ('replay', '{}', 'why', 'ada', '2026-01-01'), ('replay', '{}', 'why', 'ada', now())"
    )
    await database.execute("ALTER TABLE operation_item DISABLE TRIGGER USER")
    await database.execute(
        "INSERT INTO operation_item (operation_id, position, item_id)"
        " SELECT id, p, 'evt_' || p FROM operation, generate_series(1, 3) AS p"
    )
    await database.execute("ALTER TABLE operation_item ENABLE TRIGGER USER")
    totals = await run(role_url("maintainer"), Retention(errors_days=90, items_days=90), rows_at_once=2)
    assert (totals["errors deleted"], totals["items of operations deleted"]) == (2, 3)
    assert [row["message"] for row in await database.fetch("SELECT message FROM error_logs ORDER BY 1")] == ["b", "d"]
    assert len(await database.fetch("SELECT FROM operation")) == 2
    assert len(await database.fetch("SELECT FROM operation_item")) == 3


async def test_a_dry_run_counts_and_changes_nothing(database: Database, role_url: RoleUrl) -> None:
    """As many as the run itself takes."""
    await record(database, event(1), event(2))
    await database.execute("UPDATE webhook_logs SET processed = true")
    await age_everything(database)
    connection = await asyncpg.connect(role_url("maintainer"))
    try:
        counted = await Maintenance(connection, Retention(30, 31), ends_at=0).count()
    finally:
        await connection.close()
    assert {one.what: one.number for one in counted} == {"days": 1, "webhooks": 2}
    assert len(await bodies(database)) == 2


async def _waits_for(database: Database, event_name: str) -> None:
    async with asyncio.timeout(10):
        while not await database.fetch("SELECT FROM pg_stat_activity WHERE wait_event = $1", event_name):
            await asyncio.sleep(0.01)
