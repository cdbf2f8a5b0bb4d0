"""The release before goes on while this one's migration has run, and finds every body where it looks for it."""

import gzip
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from sluice.inbox import recorder
from sluice.inbox.claims import TransactionLimits, claim
from sluice.postgres.migrator import migrate
from sluice.postgres.pool import Connection as PooledConnection
from sluice.postgres.pool import Database
from sluice.postgres.sql import load_queries
from tests.inbox.rows import Delivered
from tests.inbox.test_bodies import event
from tests.migrations.catalog import read_catalog
from tests.migrations.conftest import EMPTY, Connection
from tests.migrations.databases import psql

BEFORE = Path(__file__).parent / "release_0_2_0.sql.gz"
OF_BEFORE = load_queries(__file__, "queries_of_0_2_0.sql")
LIMITS = TransactionLimits("5000", "2000", "5000")
_STATES = """
UPDATE webhook_logs SET outcome = 'failed', published_at = NULL, next_attempt_at = now()
WHERE stripe_event_id = 'evt_0002';
UPDATE webhook_logs SET dead_at = now(), outcome = 'failed' WHERE stripe_event_id = 'evt_0003';
UPDATE webhook_logs SET processed = true, outcome = 'applied' WHERE stripe_event_id = 'evt_0004';
"""


def _arguments(*numbers: int) -> list[list[object]]:
    """Arguments of ingest's statements for these events, in either release."""
    events = [event(number) for number in numbers]
    return [
        [one.stripe_event_id for one in events],
        [one.type for one in events],
        [one.created for one in events],
        [one.livemode for one in events],
        [],
        [one.api_version for one in events],
        [one.object_id for one in events],
        [],
        ["platform:0a1b2c3d" for _ in events],
        [one.body for one in events],
    ]


@pytest.fixture
async def before(empty_database_url: str, db: Connection, tmp_path: Path) -> str:
    """The address of an installation of 0.2.0, with a webhook in each state that matters."""
    script = tmp_path / "before.sql"
    script.write_bytes(gzip.decompress(BEFORE.read_bytes()))
    assert "ERROR" not in psql(empty_database_url, script).stderr
    await db.fetch(OF_BEFORE["record_new"], *_arguments(1, 2, 3, 4), True)
    await db.execute(_STATES)
    return empty_database_url


@pytest.fixture
async def pooled(before: str) -> AsyncIterator[PooledConnection]:
    """A connection as this release's services have it."""
    async with Database.connect(before, application_name="test") as database, database.acquire() as connection:
        yield connection


async def bodies_as_before(db: Connection) -> Mapping[str, bytes]:
    """Every body, as the release before reads it."""
    ids = [row["stripe_event_id"] for row in await db.fetch("SELECT stripe_event_id FROM webhook_logs")]
    return {row["stripe_event_id"]: row["body"] for row in await db.fetch(OF_BEFORE["read_bodies"], ids)}


async def test_an_upgrade_comes_to_the_schema_of_a_new_installation(before: str, db: Connection) -> None:
    """Files that were changed since run again, and those that are new."""
    await migrate(before)
    assert await migrate(before) == []
    upgraded = await read_catalog(before)
    await db.execute(EMPTY)
    await migrate(before)
    assert upgraded == await read_catalog(before)


async def test_both_releases_read_what_either_wrote_until_partitions_are_used(
    before: str, db: Connection, pooled: PooledConnection
) -> None:
    """For two midnights, also after `sluice maintain` has made partitions."""
    await migrate(before)
    await db.execute("SELECT sluice_prepare_bodies(8)")
    await recorder.record_new(pooled, [Delivered(event(5))], within_seconds=5)
    await db.fetch(OF_BEFORE["record_new"], *_arguments(6), True)
    assert await bodies_as_before(db) == {one.stripe_event_id: one.body for one in map(event, range(1, 7))}
    limits = (False, 60.0, *LIMITS)
    async with db.transaction():
        old = await db.fetch(OF_BEFORE["claim"], ["evt_0001", "evt_0005", "evt_0006"], [0, 0, 0], [], *limits)
    assert {row["stripe_event_id"]: row["body"] for row in old} == {
        one.stripe_event_id: one.body for one in map(event, (1, 5, 6))
    }


async def test_an_isolated_run_of_the_release_before_begins(
    before: str, db: Connection, pooled: PooledConnection
) -> None:
    """Of a webhook that this release has recorded meanwhile."""
    await migrate(before)
    await db.execute("SELECT sluice_prepare_bodies(8)")
    await recorder.record_new(pooled, [Delivered(event(5))], within_seconds=5)
    one = event(5)
    said = (one.type, None, one.livemode, one.api_version, one.object_id, one.created, None, one.body)
    (row,) = await db.fetch(OF_BEFORE["begin_isolated_run"], one.stripe_event_id, 0, *said)
    assert row["solo_starts"] == 1


async def test_nothing_in_flight_is_lost_when_partitions_are_used(
    before: str, db: Connection, pooled: PooledConnection
) -> None:
    """Two midnights later a claim finds the bodies of before and of now; a redelivery of one of before is a repeat."""
    await migrate(before)
    await db.execute("SELECT sluice_prepare_bodies(8)")
    await db.execute("UPDATE body_storage SET partitions_from = partitions_from - 2")
    await recorder.record_new(pooled, [Delivered(event(5))], within_seconds=5)
    assert await db.fetchval("SELECT count(*) FROM webhook_body") == 1
    async with pooled.transaction():
        attempts = dict.fromkeys(("evt_0001", "evt_0002", "evt_0005"), 0)
        rows = await claim(pooled, attempts, [], is_isolated=False, patience_seconds=60, limits=LIMITS)
    assert {row["stripe_event_id"]: row["body"] for row in rows} == {
        one.stripe_event_id: one.body for one in map(event, (1, 2, 5))
    }
    for number in (1, 4):
        assert not await recorder.record_new(pooled, [Delivered(event(number))], within_seconds=5)
        (again,) = await recorder.record(pooled, [Delivered(event(number))], [None], within_seconds=5)
        assert (again.is_new, again.body_differs) == (False, False)
