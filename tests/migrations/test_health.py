"""What the later question needs of the past: deaths outlive their cure, and errors say which of two ids they mean."""

from pathlib import Path

import asyncpg
import pytest

from tests.migrations.conftest import Connection
from tests.migrations.databases import FOUNDATION, HEALTH, INDEXES, add_sluice, psql
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


async def test_what_died_before_is_taken_over_once(empty_database_url: str, db: Connection) -> None:
    """The dead of that moment, and those whose error row alone remembers them; a second run adds nothing."""
    psql(empty_database_url, FOUNDATION, INDEXES)
    await db.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, outcome, dead_at)"
        " VALUES ('evt_1', 'a.b', 'x', 'failed', now());"
        "INSERT INTO error_logs (severity, message, event_id, service) VALUES"
        " ('critical', 'evt_1 is dead (failed): boom', 'evt_1', 'processor'),"
        " ('critical', 'evt_2 is dead (parked): waits', 'evt_2', 'processor')"
    )
    add_sluice(empty_database_url)
    add_sluice(empty_database_url)
    assert await _deaths(db) == [("evt_1", "failed"), ("evt_2", "parked")]


async def test_stripes_id_moves_to_a_column_of_its_own(empty_database_url: str, db: Connection) -> None:
    """event_id becomes the organiser's row, where the id names one; other ids and an earlier application's stay."""
    psql(empty_database_url, FOUNDATION, INDEXES)
    await db.execute(
        "INSERT INTO error_logs (severity, message, event_id, service) VALUES"
        " ('error', 'a', 'evt_1', 'processor'), ('error', 'b', 'evt_2@7', 'processor'),"
        " ('error', 'c', '7', 'ingest'), ('error', 'd', 'evt_4', NULL)"
    )
    add_sluice(empty_database_url)
    rows = await db.fetch("SELECT event_id, stripe_event_id FROM error_logs ORDER BY message")
    assert [tuple(row) for row in rows] == [(None, "evt_1"), ("7", "evt_2@7"), ("7", None), ("evt_4", None)]


async def test_a_table_of_the_users_is_not_adopted(empty_database_url: str, db: Connection) -> None:
    """Its name is told with the cure, and nothing of the file is kept."""
    psql(empty_database_url, FOUNDATION, INDEXES)
    await db.execute("CREATE TABLE health_verdict (mine int)")
    assert "ALTER TABLE health_verdict RENAME TO your_health_verdict;" in psql(empty_database_url, HEALTH).stderr
    assert await db.fetchval("SELECT to_regclass('webhook_death')") is None


def test_the_file_says_how_it_is_run() -> None:
    """As every migration's head does."""
    assert f"-f migrations/{HEALTH.name}" in Path(HEALTH).read_text(encoding="utf-8")
