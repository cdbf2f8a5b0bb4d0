"""One write of the journal takes its rows in the order of their ids, so that two ingests never lock crosswise."""

import asyncio

import asyncpg

from sluice.postgres.pool import Database
from tests.ingest.journal.test_journal import Bench
from tests.ingest.webhooks import event

CAME = [f"evt_{number:02}" for number in (7, 3, 19, 0, 12, 5, 16, 1, 9, 14, 18, 2, 11, 4, 17, 8, 13, 6, 15, 10)]


async def test_new_rows_and_repeats_are_written_in_the_order_of_their_ids(
    database: Database, postgres: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """However they came: twenty new ones; the same again; and then known and new ones mixed."""
    bench = Bench(database)
    running = asyncio.create_task(bench.journal.run())
    await bench.record_together([event(event_id) for event_id in CAME])
    assert await _in_written_order(postgres, "webhook_logs") == sorted(CAME)
    await bench.record_together([event(event_id) for event_id in CAME])
    assert await _in_written_order(postgres, "webhook_delivery") == sorted(CAME)
    known = CAME[:10]
    new = [event_id.replace("evt", "new") for event_id in known]
    await bench.record_together([event(event_id) for three in zip(known, new, new, strict=True) for event_id in three])
    assert (await _in_written_order(postgres, "webhook_logs"))[len(CAME) :] == sorted(new)
    assert (await _in_written_order(postgres, "webhook_delivery"))[len(CAME) :] == sorted(known + new)
    running.cancel()
    await asyncio.wait([running])


async def _in_written_order(postgres: "asyncpg.Connection[asyncpg.Record]", table: str) -> list[str]:
    rows = await postgres.fetch(f"SELECT stripe_event_id FROM {table} ORDER BY ctid")  # noqa: S608  a test's own words
    return [row[0] for row in rows]
