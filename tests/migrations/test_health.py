"""The past stays on record: deaths outlive their cure."""

import asyncpg
import pytest

from tests.migrations.conftest import Connection
from tests.migrations.databases import FOUNDATION, add_sluice, psql
from tests.migrations.test_rights import acting_as

DIE = "UPDATE webhook_logs SET dead_at = now(), outcome = 'failed' WHERE stripe_event_id = 'evt_1'"
REPLAY = "UPDATE webhook_logs SET dead_at = NULL, outcome = NULL WHERE stripe_event_id = 'evt_1'"
WRITE_OFF = "UPDATE webhook_logs SET processed = true, outcome = 'ignored' WHERE stripe_event_id = 'evt_1'"


async def _deaths(db: Connection) -> list[tuple[str, str | None]]:
    rows = await db.fetch("SELECT stripe_event_id, outcome FROM webhook_death ORDER BY id")
    return [(row["stripe_event_id"], row["outcome"]) for row in rows]


@pytest.fixture
async def webhook(empty_database_url: str, db: Connection) -> None:
    """Sluice, and a webhook."""
    add_sluice(empty_database_url)
    await db.execute("INSERT INTO webhook_logs (stripe_event_id, webhook_type, body) VALUES ('evt_1', 'a.b', 'x')")


@pytest.mark.usefixtures("webhook")
async def test_a_death_is_remembered_whatever_becomes_of_it(db: Connection) -> None:
    """Replayed, dead again, written off: two deaths; other changes of the row are none."""
    for statement in (DIE, REPLAY, "UPDATE webhook_logs SET processing_attempts = 1", DIE, WRITE_OFF):
        await db.execute(statement)
    assert await _deaths(db) == [("evt_1", "failed")] * 2


@pytest.mark.usefixtures("webhook")
async def test_the_processor_writes_deaths_by_its_update_alone(db: Connection) -> None:
    """Its role has no right on the table of deaths, and needs none."""
    async with acting_as(db, "sluice_processor"):
        await db.execute(DIE)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute("SELECT FROM webhook_death")


async def test_a_table_of_the_users_is_not_adopted(empty_database_url: str, db: Connection) -> None:
    """Its name is told with the cure, and nothing of the file is kept."""
    await db.execute("CREATE TABLE health_verdict (mine int)")
    assert "ALTER TABLE health_verdict RENAME TO your_health_verdict;" in psql(empty_database_url, FOUNDATION).stderr
    assert await db.fetchval("SELECT to_regclass('webhook_death')") is None
