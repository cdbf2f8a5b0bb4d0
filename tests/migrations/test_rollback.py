"""The rollback takes out what Sluice added, and nothing else; then Sluice can come again."""

from pathlib import Path

import asyncpg
import pytest

from tests.migrations.catalog import read_catalog, read_rows
from tests.migrations.conftest import Connection
from tests.migrations.databases import ROLLBACK, add_sluice, psql

LOSE_THEM = "-csluice.drop_unprocessed=yes"


def take_out(url: str, *, options: str = "") -> None:
    """Run the rollback; all that it may say is that another database still uses the roles."""
    for line in psql(url, ROLLBACK, options=options).stderr.splitlines():
        assert line.endswith("is still used and stays."), line


async def test_every_kind_of_database_is_as_before(any_url: str) -> None:
    """Catalog and rows, also after a second coming."""
    catalog, rows = await read_catalog(any_url), await read_rows(any_url)
    for _ in range(2):
        add_sluice(any_url)
        add_sluice(any_url)
        take_out(any_url)
        assert await read_catalog(any_url) == catalog
        assert await read_rows(any_url) == rows


async def test_rows_that_sluice_wrote_into_earlier_tables_stay(earlier_url: str, db: Connection) -> None:
    """A webhook recorded in the meantime is a row of that table now."""
    add_sluice(earlier_url)
    await db.execute("INSERT INTO webhook_logs (stripe_event_id, webhook_type, body) VALUES ('evt_new', 'a.b', 'x')")
    await db.execute("UPDATE events SET payment_status = 'refunded'")
    take_out(earlier_url, options=LOSE_THEM)
    assert await db.fetchval("SELECT count(*) FROM webhook_logs") == 3
    assert await db.fetchval("SELECT count(*) FROM events WHERE payment_status = 'refunded'") == 2


@pytest.mark.parametrize("state", ["'failed', NULL", "'failed', now()", "NULL, NULL"])
async def test_it_refuses_while_an_acknowledged_webhook_has_had_no_effect(
    empty_database_url: str, db: Connection, state: str
) -> None:
    """Waiting, failing or dead: nothing is changed, the number and the ways on are said; told so, it goes on."""
    add_sluice(empty_database_url)
    await db.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, outcome, dead_at)"  # noqa: S608  a test's own words
        f" VALUES ('evt_1', 'a.b', 'x', {state}), ('evt_2', 'a.b', 'x', {state})"
    )
    before = await read_catalog(empty_database_url)
    said = psql(empty_database_url, ROLLBACK).stderr
    assert "2 webhook(s) that Stripe was told are received would be lost" in said
    assert "SET sluice.drop_unprocessed = 'yes';" in said
    assert await read_catalog(empty_database_url) == before
    take_out(empty_database_url, options=LOSE_THEM)
    assert await db.fetchval("SELECT to_regclass('webhook_logs')") is None


async def test_the_word_is_given_in_the_same_session(empty_database_url: str, db: Connection, tmp_path: Path) -> None:
    """As a first line in Supabase's editor, or with `psql -c`."""
    add_sluice(empty_database_url)
    await db.execute("INSERT INTO webhook_logs (stripe_event_id, webhook_type, body) VALUES ('evt_1', 'a.b', 'x')")
    word = tmp_path / "word.sql"
    word.write_text("SET sluice.drop_unprocessed = 'yes';")
    psql(empty_database_url, word, ROLLBACK)
    assert await db.fetchval("SELECT to_regclass('webhook_logs')") is None


async def test_what_an_earlier_application_left_unprocessed_does_not_stop_it(earlier_url: str, db: Connection) -> None:
    """Such rows have no body of Sluice's, and stay; neither does what was processed."""
    add_sluice(earlier_url)
    assert await db.fetchval("SELECT count(*) FROM webhook_logs WHERE NOT processed") > 0
    take_out(earlier_url)


async def test_events_that_sluice_made_stay_while_they_hold_rows(empty_database_url: str, db: Connection) -> None:
    """They became the user's own; only Sluice's columns go."""
    add_sluice(empty_database_url)
    await db.execute("INSERT INTO events (name, webhook_secret) VALUES ('gala', 'whsec_1')")
    take_out(empty_database_url)
    row = await db.fetchrow("SELECT * FROM events")
    assert row is not None
    assert list(row.keys()) == ["id", "name", "created_at"]


async def test_a_column_that_the_user_had_stays(empty_database_url: str, db: Connection) -> None:
    """Of the same name as one of Sluice's, with what is in it."""
    await db.execute(
        "CREATE TABLE events (id text PRIMARY KEY, name text, created_at timestamp, stripe_account_id text);"
        "INSERT INTO events (id, stripe_account_id) VALUES ('a', 'acct_1')"
    )
    add_sluice(empty_database_url)
    take_out(empty_database_url)
    assert [tuple(row) for row in await db.fetch("SELECT * FROM events")] == [("a", None, None, "acct_1")]


async def test_rights_that_public_had_come_back(earlier_url: str, db: Connection) -> None:
    """Taken while the tables hold bodies, given back after."""
    add_sluice(earlier_url)
    readable = "SELECT has_table_privilege('public', 'webhook_logs', 'SELECT')"
    by_column = "SELECT has_column_privilege('public', 'error_logs', 'message', 'SELECT')"
    assert [await db.fetchval(readable), await db.fetchval(by_column)] == [False, False]
    take_out(earlier_url)
    assert [await db.fetchval(readable), await db.fetchval(by_column)] == [True, True]


async def test_a_package_that_builds_on_sluice_stops_the_rollback(empty_database_url: str, db: Connection) -> None:
    """Its table refers to Sluice's: nothing is dropped until it is gone."""
    add_sluice(empty_database_url)
    before = await read_catalog(empty_database_url)
    await db.execute("CREATE TABLE bonus (scope text, id text, FOREIGN KEY (scope, id) REFERENCES payment)")
    assert "other objects depend on it" in psql(empty_database_url, ROLLBACK).stderr
    await db.execute("DROP TABLE bonus")
    assert await read_catalog(empty_database_url) == before


async def test_there_is_nothing_to_undo_where_sluice_is_not(empty_database_url: str) -> None:
    """One sentence says so."""
    assert "There is nothing to undo" in psql(empty_database_url, ROLLBACK).stderr


async def test_roles_of_a_login_stay_when_another_database_uses_them(earlier_url: str, database_url: str) -> None:
    """Roles belong to the whole server."""
    add_sluice(earlier_url)
    take_out(earlier_url)
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT has_table_privilege('sluice_ingest', 'webhook_logs', 'INSERT')")
    await connection.close()
