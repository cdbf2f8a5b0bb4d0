"""An installation that has the files of before the squash comes to the same schema as a new one, and keeps its rows."""

import gzip
from pathlib import Path

import pytest

from sluice.postgres.migration_files import core_migrations
from sluice.postgres.migrator import migrate, pending
from tests.migrations.catalog import Catalog, read_catalog, read_rows
from tests.migrations.conftest import EMPTY, Connection
from tests.migrations.databases import KINDS, psql
from tests.migrations.test_rollback import take_out

CORE = [file.name for file in core_migrations()]
# All sixteen files as they were, from sprint1 to sprint5, and what `sluice migrate` noted of them.
NEW_FILES = {
    "sprint2_reconcile.sql",
    "sprint3_operations.sql",
    "sprint3_operator_rights.sql",
    "sprint3_pauses.sql",
    "sprint3_rehearsals.sql",
    "sprint3_processed_at_concurrently.sql",
    "sprint3_viewed_bodies.sql",
    "sprint3_bodies_concurrently.sql",
    "sprint3_webhook_bodies.sql",
    "functions.sql",
}
GROWS = {"sluice_migration", "sluice_addition"}
NEW_COLUMNS = ",,,"
"""NULL in webhook_logs.resumed_at, body_id and body_bytes, in PostgreSQL's text of a row."""
BEFORE = Path(__file__).parent / "before_the_squash.sql.gz"
ROWS = """
INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, revivals) VALUES ('evt_1', 'a.b', 'x', 1);
UPDATE webhook_logs SET dead_at = now(), outcome = 'parked' WHERE stripe_event_id = 'evt_1';
INSERT INTO error_logs (severity, message, service, stripe_event_id) VALUES ('error', 'm', 'ingest', 'evt_1');
INSERT INTO payment (scope, payment_id, opened_at) VALUES ('live:platform', 'pi_1', NULL);
INSERT INTO payment_fact (scope, payment_id, stripe_event_id, said_at, kind) VALUES
    ('live:platform', 'pi_1', 'evt_1', now(), 'intent');
INSERT INTO processing_lease VALUES ('a', '{evt_1}', now());
UPDATE queue_watermark SET moved_at = now();
"""


@pytest.fixture
def before_the_squash(any_url: str, tmp_path: Path) -> str:
    """The address of an installation of every kind as it was."""
    script = tmp_path / "before.sql"
    script.write_bytes(gzip.decompress(BEFORE.read_bytes()))
    assert "ERROR" not in psql(any_url, script).stderr
    return any_url


async def test_an_upgrade_comes_to_the_schema_of_a_new_installation(
    before_the_squash: str, request: pytest.FixtureRequest, db: Connection
) -> None:
    """Every file runs once; tables, indexes, rights and functions are those that a new installation has."""
    assert await pending(before_the_squash) == CORE
    assert [applied.name for applied in await migrate(before_the_squash)] == CORE
    assert await migrate(before_the_squash) == []
    upgraded = await read_catalog(before_the_squash)
    assert upgraded == await _new_installation(before_the_squash, request.node.callspec.params["any_url"], db)


async def test_an_upgrade_keeps_every_row(before_the_squash: str, db: Connection) -> None:
    """Dead rows stay dead, closed ones stay closed; only the record of files and of what was added grows."""
    await db.execute(ROWS)
    before = await read_rows(before_the_squash)
    await migrate(before_the_squash)
    after = await read_rows(before_the_squash)
    after["webhook_logs"] = [row.removesuffix(f"{NEW_COLUMNS})") + ")" for row in after["webhook_logs"]]
    assert {name: after[name] for name in before if name not in GROWS} == {
        name: rows for name, rows in before.items() if name not in GROWS
    }
    assert set(after["sluice_addition"]) >= set(before["sluice_addition"])
    assert len(after["sluice_migration"]) == len(before["sluice_migration"]) + len(NEW_FILES)


@pytest.mark.parametrize("any_url", ["earlier"], indirect=True)
async def test_a_rollback_after_an_upgrade_leaves_what_was_there_at_first(
    any_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Of the files of before and of those of now."""
    at_first = await read_catalog(any_url)
    request.getfixturevalue("before_the_squash")
    await migrate(any_url)
    take_out(any_url)
    assert await read_catalog(any_url) == at_first


async def _new_installation(url: str, kind: str, db: Connection) -> Catalog:
    await db.execute(EMPTY)
    await db.execute(KINDS[kind] or "SELECT")
    await migrate(url)
    return await read_catalog(url)
