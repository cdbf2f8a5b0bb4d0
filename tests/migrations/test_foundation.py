"""Sluice's tables come to databases of every kind, twice if need be, and the seed's queries work there."""

import re
from pathlib import Path

import pytest

from tests.migrations.catalog import read_catalog, read_rows
from tests.migrations.conftest import EMPTY, Connection
from tests.migrations.databases import ALL, FOUNDATION, FUNCTIONS, INDEXES, SCHEMA, add_sluice, psql

SEED_QUERIES = (Path(__file__).parent / "seed.sql").read_text(encoding="utf-8").split(";")[:-1]


async def test_every_kind_of_database_takes_the_migrations_twice(any_url: str) -> None:
    """The second run changes nothing at all, and no run loses a row."""
    before = await read_rows(any_url)
    add_sluice(any_url)
    first = await read_catalog(any_url)
    add_sluice(any_url)
    assert await read_catalog(any_url) == first
    after = await read_rows(any_url)
    assert {table: len(rows) for table, rows in before.items()} == {table: len(after[table]) for table in before}


async def test_the_queries_of_the_seed_run_word_for_word(any_url: str, db: Connection) -> None:
    """Each runs, and shows the row that it is about."""
    add_sluice(any_url)
    await db.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, processing_attempts) VALUES ('evt_1', 'a.b', 1)"
    )
    await db.execute("INSERT INTO error_logs (severity, message) VALUES ('critical', 'm')")
    await db.execute("UPDATE events SET payment_status = 'failed'")
    key = "gen_random_uuid()" if await _key_type(db) == "uuid" else "'99'"
    if not await db.fetchval("SELECT EXISTS (SELECT FROM events)"):
        await db.execute(f"INSERT INTO events (id, name) SELECT {key}, 'gala'")
        await db.execute("UPDATE events SET payment_status = 'failed'")
    for query in SEED_QUERIES:
        assert await db.fetch(query), query


async def test_an_event_key_is_of_the_real_type_or_null(any_url: str, db: Connection) -> None:
    """Whatever a URL or a webhook names: a key of that type, or no key."""
    add_sluice(any_url)
    assert await db.fetchval("SELECT pg_typeof(sluice_event_key('x'))::text") == await _key_type(db)
    for key in await db.fetch("SELECT id::text FROM events"):
        assert await db.fetchval("SELECT count(*) FROM events WHERE id = sluice_event_key($1)", key["id"]) == 1
    for strange in ("", "x", "99999999999999999999", "9223372036854775808", "1e3", "-", "+", "7 7", "6a2f41a3c54c"):
        key = await db.fetchval("SELECT sluice_event_key($1)::text", strange)
        assert key in (None, strange)
    assert await db.fetchval("SELECT sluice_event_key(NULL) IS NULL")


async def test_an_uppercase_uuid_names_the_same_row(empty_database_url: str, db: Connection) -> None:
    """Swift and .NET write UUIDs in capitals."""
    add_sluice(empty_database_url)
    upper = "6A2F41A3-C54C-4CE8-92D2-0324E1C32E22"
    assert await db.fetchval("SELECT sluice_event_key($1)::text", upper) == upper.lower()


UUID = "6a2f41a3-c54c-4ce8-92d2-0324e1c32e22"
AROUND = ("{}", " {}", "{} ", "\t{}\r\n", "\f{}\v")


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(
    "written", [UUID, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}", "6a2f-41a3-c54c-4ce8-92d2-0324-e1c3-2e22"]
)
async def test_a_uuid_is_read_as_people_write_it(
    empty_database_url: str, db: Connection, written: str, around: str
) -> None:
    """In 32 hex digits, in capitals, in braces, between white space: all of them one row."""
    add_sluice(empty_database_url)
    assert await db.fetchval("SELECT sluice_event_key($1)::text", around.format(written)) == UUID


@pytest.mark.parametrize(
    "written",
    [f"{{{UUID}", f"{UUID}}}", UUID[:-1], UUID + "2", UUID.replace("-", "--"), UUID.replace("6", "g"), " ", "{}"],
)
async def test_what_is_nearly_a_uuid_names_nothing(empty_database_url: str, db: Connection, written: str) -> None:
    """And fails no statement."""
    add_sluice(empty_database_url)
    assert await db.fetchval("SELECT sluice_event_key($1) IS NULL", written)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("key_type", ["bigint", "integer"])
async def test_a_number_is_read_as_people_write_it(
    empty_database_url: str, db: Connection, key_type: str, around: str
) -> None:
    """With a sign, with leading zeros, between white space."""
    await db.execute(f"CREATE TABLE events (id {key_type} PRIMARY KEY, name text, created_at timestamp)")
    add_sluice(empty_database_url)
    for written in ("7", "+7", "007", "+" + 200 * "0" + "7"):
        assert await db.fetchval("SELECT sluice_event_key($1)", around.format(written)) == 7
    for written in ("-7", "-007"):
        assert await db.fetchval("SELECT sluice_event_key($1)", around.format(written)) == -7
    for strange in ("+-7", "7.0", "0x7", "7_0", "1 7", "\u0667", 300 * "0" + "7", "9" * 30):
        assert await db.fetchval("SELECT sluice_event_key($1) IS NULL", around.format(strange))


@pytest.mark.parametrize("around", AROUND)
async def test_white_space_around_a_text_key_is_not_the_key(
    empty_database_url: str, db: Connection, around: str
) -> None:
    """White space within the key counts; nothing but white space names no row."""
    await db.execute("CREATE TABLE events (id varchar(40) PRIMARY KEY, name text, created_at timestamp)")
    add_sluice(empty_database_url)
    assert await db.fetchval("SELECT sluice_event_key($1)", around.format("gala 24")) == "gala 24"
    assert await db.fetchval("SELECT sluice_event_key($1) IS NULL", around.format(""))


@pytest.mark.parametrize("key", ["9223372036854775807", "-9223372036854775808", "0", "-0"])
async def test_a_bigint_key_reaches_to_the_ends_of_its_range(empty_database_url: str, db: Connection, key: str) -> None:
    """The largest and the smallest are keys."""
    await db.execute("CREATE TABLE events (id bigint PRIMARY KEY, name text, created_at timestamp)")
    add_sluice(empty_database_url)
    assert await db.fetchval("SELECT sluice_event_key($1)", key) == int(key)


async def test_a_changed_type_of_events_id_changes_the_function(empty_database_url: str, db: Connection) -> None:
    """Run again after the user changed the type, the migration follows."""
    await db.execute("CREATE TABLE events (id integer PRIMARY KEY, name text, created_at timestamp)")
    add_sluice(empty_database_url)
    await db.execute("ALTER TABLE events ALTER COLUMN id TYPE bigint")
    add_sluice(empty_database_url)
    assert await db.fetchval("SELECT pg_typeof(sluice_event_key('1'))::text") == "bigint"


async def test_rows_and_types_of_an_earlier_application_stay(earlier_url: str, db: Connection) -> None:
    """Its timestamps stay naive, its rows are never relayed, its statuses stand."""
    add_sluice(earlier_url)
    rows = await db.fetch("SELECT * FROM webhook_logs ORDER BY id")
    assert [(row["stripe_event_id"], row["processed"], row["body"], row["next_attempt_at"]) for row in rows] == [
        ("evt_earlier_1", True, None, None),
        ("evt_earlier_2", False, None, None),
    ]
    assert rows[0]["created_at"].tzinfo is None
    assert await db.fetchval("SELECT pg_typeof(next_attempt_at)::text FROM webhook_logs") == "timestamp with time zone"
    assert [row["payment_status"] for row in await db.fetch("SELECT payment_status FROM events ORDER BY name")] == [
        "unpaid",
        "paid",
    ]


async def test_new_rows_of_events_are_pending(any_url: str, db: Connection) -> None:
    """Rows that were there before show the default of the column that was added."""
    had = await db.fetchval("SELECT count(*) FROM information_schema.columns WHERE column_name = 'payment_status'")
    add_sluice(any_url)
    if not had:
        assert not await db.fetchval("SELECT EXISTS (SELECT FROM events WHERE payment_status <> 'pending')")


async def test_the_schema_at_a_glance_is_what_the_migrations_make(empty_database_url: str, db: Connection) -> None:
    """With the functions: tables, columns, types, defaults, constraints, indexes, policies and grants."""
    add_sluice(empty_database_url)
    migrated = await read_catalog(empty_database_url)
    await db.execute(EMPTY)
    await db.execute(re.sub("CREATE ROLE.*", "", SCHEMA.read_text()))  # the server has them
    await db.execute(FUNCTIONS.read_text())
    drawn = await read_catalog(empty_database_url)
    for part, lines in migrated.items():
        assert drawn[part] == lines, part


async def test_bodies_are_json_where_jsonb_takes_them(empty_database_url: str, db: Connection) -> None:
    """Bodies that Stripe may send and jsonb refuses become NULL, never an error."""
    add_sluice(empty_database_url)
    query = "SELECT sluice_body_json($1)::text"
    assert await db.fetchval(query, b'{"a": [1, "x"]}') == '{"a": [1, "x"]}'
    refused = [
        b'{"a": "\\u0000"}',
        b'{"a": "\\ud800"}',
        b"\xff",
        b"",
        b"not json",
        b"[" * 100_000,
        b'{"a": NaN}',
        b'{"a":"\x00"}',
    ]
    for body in refused:
        assert await db.fetchval(query, body) is None
    assert await db.fetchval(query, None) is None


async def test_functions_do_not_follow_a_callers_search_path(empty_database_url: str, db: Connection) -> None:
    """A schema in front, with functions and operators of its own, changes nothing."""
    add_sluice(empty_database_url)
    functions = await db.fetch(
        "SELECT proname, proconfig, prosqlbody IS NOT NULL AS is_bound FROM pg_proc WHERE proname LIKE 'sluice%'"
    )
    assert {row["proname"] for row in functions} == {
        "sluice_event_key",
        "sluice_uuid_key",
        "sluice_bigint_key",
        "sluice_integer_key",
        "sluice_text_key",
        "sluice_payment_scopes",
        "sluice_shown_scopes",
        "sluice_body_json",
        "sluice_schema_findings",
        "sluice_fill_webhooks",
        "sluice_revive_webhook",
        "sluice_add_facts",
        "sluice_store_payments",
        "sluice_count_due",
        "sluice_note_death",
        "sluice_claim_batch",
        "sluice_settle_batch",
        "sluice_postpone_webhook",
        "sluice_lease_webhooks",
        "sluice_connected_accounts",
        "sluice_settle_thin",
        "sluice_keep_operation",
        "sluice_bodies",
        "sluice_body",
        "sluice_prepare_bodies",
        "sluice_record_webhooks",
        "sluice_count_expired",
        "sluice_delete_errors",
        "sluice_delete_items",
        "sluice_delete_webhooks",
        "sluice_drop_bodies",
        "sluice_forget_bodies",
        "sluice_is_disputed",
        "sluice_keep_bodies",
        "sluice_cancel_operation",
        "sluice_carry_out",
        "sluice_end_operation",
        "sluice_hold_items",
        "sluice_keep_items",
        "sluice_mark_errors",
        "sluice_reopen_webhooks",
        "sluice_replay_ended_webhooks",
        "sluice_replay_webhooks",
        "sluice_retry_webhooks",
        "sluice_tell_items",
        "sluice_write_off_webhooks",
        "sluice_begin_pause",
        "sluice_end_pauses",
        "sluice_pause_webhooks",
        "sluice_resume_webhooks",
    }
    for row in functions:  # a body after RETURN found its names when the function was made
        paths = [one for one in row["proconfig"] or () if one.startswith("search_path=")]
        assert paths == ([] if row["is_bound"] else ["search_path=pg_catalog, public, pg_temp"]), row["proname"]


async def test_an_unfinished_index_is_built_anew(empty_database_url: str, db: Connection) -> None:
    """The rest of a cut-off CREATE INDEX CONCURRENTLY does not count as the index."""
    add_sluice(empty_database_url)
    await db.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_stripe_payment_intent_id'::regclass"
    )
    assert await db.fetchval("SELECT name FROM sluice_schema_findings()") == "index_invalid"
    psql(empty_database_url, INDEXES)
    assert await db.fetchval("SELECT count(*) FROM sluice_schema_findings()") == 0


async def test_sluice_can_live_in_a_schema_of_its_own(empty_database_url: str, db: Connection) -> None:
    """Where the user has an `invoice` already: Sluice's schema first in the search_path, `events` found in public."""
    await db.execute("CREATE TABLE events (id bigint PRIMARY KEY, name text, created_at timestamp)")
    await db.execute("CREATE TABLE invoice (number text); CREATE SCHEMA sluice")
    done = psql(empty_database_url, *ALL, options="-c search_path=sluice,public")
    assert done.stderr == ""
    assert await db.fetchval("SELECT to_regclass('sluice.invoice') IS NOT NULL")
    assert await db.fetchval("SELECT sluice.sluice_event_key('5')") == 5
    assert await db.fetchval("SELECT count(*) FROM sluice.sluice_schema_findings()") == 0
    assert await db.fetchval("SELECT count(webhook_secret) FROM public.events") == 0
    assert await db.fetch(f"SELECT * FROM sluice.sluice_fill_webhooks({', '.join(['NULL'] * 10)})") == []  # noqa: S608


async def test_a_failing_statement_leaves_nothing_behind(empty_database_url: str, db: Connection) -> None:
    """All or nothing: a function of the same name with other arguments' names stops it in the middle."""
    await db.execute("CREATE FUNCTION sluice_body_json(other bytea) RETURNS jsonb LANGUAGE sql RETURN NULL::jsonb")
    assert "cannot change name of input parameter" in psql(empty_database_url, FOUNDATION, FUNCTIONS).stderr
    made = await db.fetch("SELECT proname FROM pg_proc WHERE proname LIKE 'sluice%'")
    assert [row["proname"] for row in made] == ["sluice_body_json"]


async def _key_type(db: Connection) -> str:
    query = "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'events'::regclass AND attname = 'id'"
    return str(await db.fetchval(query))
