"""Each service may do what it does and nothing else; the public may do nothing."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from sluice.postgres.migration_files import CORE_FOLDER
from tests.migrations.conftest import Connection
from tests.migrations.databases import ALL, FOUNDATION, FUNCTIONS, KINDS, add_sluice, psql

ROOT = Path(__file__).parents[2]
ERRORS = ROOT / "sluice" / "error_log" / "error_log.sql"
SERVICES = {
    "sluice_ingest": [
        *sorted((ROOT / "ingest").rglob("*.sql")),
        *(ROOT / "sluice" / "inbox" / name for name in ("recorder.sql", "publications.sql")),
        ERRORS,
    ],
    "sluice_processor": [  # a rebuild is run by an operator
        *(path for path in sorted((ROOT / "processor").rglob("*.sql")) if path.parent.name != "rebuild"),
        *(ROOT / "sluice" / "inbox" / name for name in ("claims.sql", "failures.sql", "pauses.sql", "rehearsals.sql")),
        ERRORS,
    ],
    "sluice_healthd": [*sorted((ROOT / "healthd").rglob("*.sql")), ERRORS],
    "sluice_reconciler": [  # who forgets accounts migrates, too
        *(path for path in sorted((ROOT / "reconciler").rglob("*.sql")) if path.name != "command.sql"),
        ERRORS,
    ],
    "sluice_migrator": [ROOT / "reconciler" / "command.sql"],
    "sluice_operator": [
        *sorted((ROOT / "sluice" / "operations").rglob("*.sql")),
        ROOT / "sluice" / "inbox" / "operations.sql",
        ROOT / "sluice" / "ops" / "status" / "status.sql",
        ROOT / "sluice" / "ops" / "sessions.sql",
        *sorted((ROOT / "console").rglob("*.sql")),
    ],
}
ALLOWED = {
    "sluice_ingest": [
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body) VALUES ('evt_2', 'a.b', 'x')",
        "SELECT sluice_body(body, body_id) FROM webhook_logs",
        "UPDATE webhook_logs SET next_attempt_at = now(), published_at = now(), publications = 1",
        "SELECT id FROM webhook_logs FOR UPDATE SKIP LOCKED",
        "SELECT id, webhook_secret, stripe_account_id FROM events",
        "INSERT INTO webhook_delivery (stripe_event_id) VALUES ('evt_1')",
        "INSERT INTO error_logs (severity, message) VALUES ('error', 'm')",
    ],
    "sluice_processor": [
        "SELECT body FROM webhook_logs FOR UPDATE SKIP LOCKED",
        "UPDATE webhook_logs SET processed = true, outcome = 'applied', dead_at = NULL, last_error = ''",
        "UPDATE events SET payment_status = 'paid', last_webhook_received = now(), stripe_payment_intent_id = 'pi_1'",
        "SELECT id FROM events FOR NO KEY UPDATE",
        "INSERT INTO payment (scope, payment_id) VALUES ('live:platform', 'pi_2')",
        "UPDATE payment SET status = 'paid'",
        "SELECT handler, rate FROM operation FOR SHARE",
        "UPDATE operation SET ended_at = now()",
        "UPDATE operation_item SET done_at = now(), result = 'failed', after = '{}' WHERE done_at IS NULL",
        "INSERT INTO operation_start (operation_id, position) VALUES (1, 2)",
        "UPDATE operation_start SET starts = starts + 1",
        "DELETE FROM operation_start",
        "INSERT INTO webhook_handler (name, types, organiser_types, acts_outside) VALUES ('a.c', '{}', '{}', false)",
        "UPDATE webhook_handler SET last_seen_at = now()",
        "UPDATE webhook_rehearsal SET starts = 1, done_at = now(), problem = 'none'",
        "DELETE FROM webhook_rehearsal",
        "SELECT * FROM payment_fact",
        "INSERT INTO error_logs (severity, message) VALUES ('error', 'm')",
        "SELECT sluice_body_json(body), sluice_event_key(tenant) FROM webhook_logs",
        "SELECT id, kind, value FROM pause WHERE emptied_at IS NULL AND ended_at IS NULL",
        "SELECT pause_id FROM paused_webhook",
        f"SELECT id FROM sluice_pause_webhooks({', '.join(['NULL'] * 6)}) RIGHT JOIN pause ON true",  # noqa: S608
        "SELECT sluice_resume_webhooks('{}', '{}')",
    ],
    "sluice_healthd": [
        "SELECT count(*), min(created_at), max(processing_attempts) FROM webhook_logs WHERE NOT processed",
        "SELECT severity, count(*) FROM error_logs GROUP BY 1",
        "SELECT * FROM sluice_schema_findings()",
        "SELECT backend_type FROM pg_stat_activity",
        "SELECT file_name FROM sluice_migration",
        "SELECT status, reasons FROM health_verdict",
        "DELETE FROM health_verdict",
        "SELECT count(*) FROM webhook_death WHERE died_at <= now()",
        "SELECT began_at FROM pause WHERE ended_at IS NULL",
        "SELECT count(*), min(paused_at) FROM paused_webhook",
    ],
    "sluice_reconciler": [
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, verified_by) VALUES ('evt_2', 'a.b', 'api')",
        "SELECT body, outcome FROM webhook_logs WHERE stripe_event_id = 'evt_1'",
        "INSERT INTO reconcile_account (livemode, account, complete_until) VALUES (false, 'platform', now())",
        "UPDATE reconcile_lease SET holder = 'me', until = now()",
        "INSERT INTO webhook_found (stripe_event_id, source) VALUES ('evt_1', 'reconcile')",
        "UPDATE thin_fetch SET tries = 1, next_try_at = now()",
        "INSERT INTO backfill_walk VALUES (false, 'platform', 'charges', now(), now(), NULL, 0, 0, 0)",
        "SELECT sluice_settle_thin('evt_1', 'fetched', NULL)",
        "SELECT * FROM sluice_connected_accounts()",
        "SELECT max(ended_at) FROM health_verdict WHERE status = 'unhealthy'",
        "SELECT verified_by, received_at FROM webhook_delivery ORDER BY id DESC",
    ],
    "sluice_operator": [
        "SELECT sluice_body_json(body) FROM webhook_logs",
        "SELECT message FROM error_logs",
        "INSERT INTO operation (verb, filter, reason, person, rate) VALUES ('replay', '{}', 'why', 'ada', 1)",
        "INSERT INTO operation (verb, filter, reason, person, undoes) VALUES ('undo', '{}', 'why', 'ada', 1)",
        "SELECT before, after FROM operation_item",
        "SELECT * FROM sluice_carry_out(1, 0, 9, true)",
        "SELECT sluice_end_operation(1)",
        "SELECT sluice_cancel_operation(1, 'ada')",
        "INSERT INTO operation (verb, filter, reason, person, handler) VALUES ('replay', '{}', 'why', 'ada', 'a.b')",
        "INSERT INTO webhook_rehearsal (verb, handler, items, found, person) VALUES ('replay', 'a.b', '{}', 0, 'ada')",
        "SELECT answer FROM webhook_rehearsal",
        "SELECT types FROM webhook_handler",
        "SELECT id, name, payment_status FROM events",
        "SELECT * FROM payment",
        "SELECT problem FROM thin_fetch",
        "SELECT complete_until FROM reconcile_account",
        "SELECT sluice_begin_pause('type', 'charge.*', 'why', 'ada')",
        "SELECT sluice_end_pauses('{1}', 'why', 'ada')",
        "SELECT began_by FROM pause",
        "SELECT position FROM paused_webhook",
        "INSERT INTO body_view (stripe_event_id, person) VALUES ('evt_1', 'ada')",
        "SELECT person, login FROM body_view",
    ],
    "sluice_maintainer": [
        "SELECT sluice_prepare_bodies(2)",
        "SELECT partitions_until FROM body_storage",
        "SELECT sluice_keep_bodies('2026-01-01', 10)",
        "SELECT sluice_drop_bodies('2026-01-01')",
        "SELECT sluice_forget_bodies(now() - interval '2 days', 10)",
        "SELECT sluice_delete_webhooks(now() - interval '31 days', 10)",
        "SELECT sluice_delete_errors(now() - interval '2 days', 10)",
        "SELECT sluice_delete_items(now() - interval '31 days', 10)",
        "SELECT * FROM sluice_count_expired(now()::date, now(), now(), now())",
    ],
    "sluice_migrator": [
        "SELECT body FROM webhook_logs",
        "UPDATE webhook_logs SET dead_at = NULL",
        "DELETE FROM webhook_logs",
        "CREATE TABLE bonus (id bigint PRIMARY KEY)",
        "INSERT INTO sluice_migration (set_name, file_name, checksum) VALUES ('a', 'b', 'c')",
    ],
}
FORBIDDEN = {
    "sluice_ingest": [
        *(
            f"UPDATE webhook_logs SET {column} = NULL"  # noqa: S608  a test's own words
            for column in ("body", "webhook_type", "stripe_account_id", "livemode", "api_version", "object_id")
        ),
        "UPDATE webhook_logs SET tenant = 'mine'",
        "UPDATE webhook_logs SET verified_by = 'mine', stripe_created_at = now()",
        "UPDATE webhook_logs SET processed = true",
        "UPDATE webhook_logs SET processing_attempts = 0, dead_at = NULL",
        "UPDATE webhook_logs SET stripe_event_id = 'y'",
        "DELETE FROM webhook_logs",
        "SELECT name FROM events",
        "UPDATE events SET payment_status = 'paid'",
        "UPDATE events SET webhook_secret = 'mine'",
        "SELECT * FROM payment",
        "SELECT message FROM error_logs",
        "SELECT sluice_body_json('{}')",
        "INSERT INTO sluice_addition (kind) VALUES ('table')",
        "UPDATE webhook_logs SET dead_at = NULL",
        "UPDATE webhook_logs SET revivals = 0",
        "UPDATE webhook_logs SET body_id = 1",
        "SELECT body FROM webhook_body",
        "UPDATE body_storage SET partitions_from = now()",
        "SELECT sluice_prepare_bodies(2)",
    ],
    "sluice_processor": [
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type) VALUES ('evt_3', 'a.b')",
        "INSERT INTO webhook_body (id, body) VALUES (1, 'y')",
        "DELETE FROM webhook_body",
        "UPDATE webhook_logs SET body = 'y'",
        "UPDATE webhook_logs SET stripe_event_id = 'y'",
        "SELECT webhook_secret FROM events",
        "SELECT reason FROM operation",
        "INSERT INTO pause (kind, began_by) VALUES ('all', 1)",
        "UPDATE pause SET ended_at = now(), ended_by = 1",
        "DELETE FROM pause",
        "SELECT began_by FROM pause",
        "INSERT INTO paused_webhook (stripe_event_id, pause_id) VALUES ('evt_9', 1)",
        "DELETE FROM paused_webhook",
        "SELECT sluice_begin_pause('all', NULL, 'why', 'ada')",
        "SELECT sluice_end_pauses('{1}', 'why', 'ada')",
        "INSERT INTO operation_item (operation_id, position, item_id) VALUES (1, 9, 'evt_9')",
        "INSERT INTO operation (verb, filter, reason, person, handler) VALUES ('replay', '{}', 'why', 'ada', 'a.b')",
        "UPDATE operation SET cancelled_at = now()",
        "INSERT INTO webhook_rehearsal (verb, items, found, person) VALUES ('replay', '{}', 0, 'ada')",
        "UPDATE webhook_rehearsal SET items = '{evt_9}'",
        "UPDATE events SET webhook_secret = 'mine'",
        "UPDATE events SET name = 'mine'",
        "INSERT INTO events (name) VALUES ('mine')",
        "DELETE FROM events",
        f"SELECT sluice_fill_webhooks({', '.join(['NULL'] * 10)})",
        "SELECT sluice_revive_webhook('evt_1', 'x')",
        "UPDATE payment_fact SET status = 'paid'",
        "DELETE FROM payment_fact",
        "DELETE FROM webhook_death",
        "INSERT INTO webhook_death (stripe_event_id) VALUES ('evt_1')",
        "SELECT status FROM health_verdict",
        "CREATE TABLE mine (id int)",
    ],
    "sluice_healthd": [
        f"SELECT sluice_store_payments({', '.join(['NULL'] * 17)})",
        f"SELECT sluice_add_facts({', '.join(['NULL'] * 21)})",
        f"SELECT sluice_lease_webhooks({', '.join(['NULL'] * 9)})",
        "SELECT * FROM processing_lease",
        f"SELECT sluice_claim_batch({', '.join(['NULL'] * 8)})",
        f"SELECT sluice_settle_batch({', '.join(['NULL'] * 3)})",
        "SELECT body FROM webhook_logs",
        "SELECT * FROM webhook_logs",
        "SELECT last_error FROM webhook_logs",
        "SELECT message FROM error_logs",
        "SELECT request_data FROM error_logs",
        "SELECT webhook_secret FROM events",
        "SELECT sluice_body_json('{}')",
        "SELECT value FROM pause",
        "SELECT stripe_event_id FROM paused_webhook",
        "SELECT * FROM payment_fact",
        "UPDATE webhook_logs SET dead_at = NULL",
        "UPDATE health_verdict SET status = 'healthy'",
        "SELECT stripe_event_id FROM webhook_death",
        "DELETE FROM webhook_death",
        "INSERT INTO webhook_load_test (connections, sent, accepted, slowest_seconds) VALUES (100, 300, 300, 0)",
        "DELETE FROM reconcile_account",
        "SELECT stripe_event_id FROM webhook_found",
        "SELECT sluice_settle_thin('evt_1', 'fetched', NULL)",
    ],
    "sluice_reconciler": [
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, verified_by) VALUES ('evt_3', 'a.b', 'platform')",
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type) VALUES ('evt_3', 'a.b')",
        "DELETE FROM webhook_body",
        "UPDATE webhook_logs SET body = 'y'",
        "UPDATE webhook_logs SET processed = true",
        "DELETE FROM webhook_logs",
        "SELECT webhook_secret FROM events",
        "SELECT name FROM events",
        "SELECT status FROM payment",
        "SELECT message FROM error_logs",
        "SELECT last_error FROM webhook_logs",
        "INSERT INTO webhook_delivery (stripe_event_id) VALUES ('evt_1')",
        "DELETE FROM webhook_found",
        "INSERT INTO thin_fetch (stripe_event_id) VALUES ('evt_1')",
        "SELECT sluice_revive_webhook('evt_1', 'x')",
        "INSERT INTO health_verdict (healthd) VALUES ('me')",
    ],
    "sluice_operator": [
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type) VALUES ('evt_3', 'a.b')",
        "INSERT INTO webhook_body (id, body) VALUES (1, 'y')",
        "DELETE FROM webhook_body",
        "UPDATE webhook_logs SET body = 'y'",
        "UPDATE webhook_logs SET last_error = NULL",
        "UPDATE webhook_logs SET processed = true",
        "UPDATE webhook_logs SET outcome = 'written_off', dead_at = NULL",
        "UPDATE webhook_logs SET next_attempt_at = now()",
        "SELECT FROM webhook_logs FOR UPDATE",
        "UPDATE error_logs SET resolved = true, resolved_at = now()",
        "SELECT FROM error_logs FOR SHARE",
        "INSERT INTO error_logs (severity, message) VALUES ('info', 'Written off by eve: why')",
        *(f"SELECT sluice_{verb}_webhooks('{{evt_1}}')" for verb in ("retry", "replay", "replay_ended", "write_off")),
        "SELECT sluice_reopen_webhooks('{evt_1}', '{failed}')",
        "SELECT sluice_mark_errors('{1}', true)",
        "SELECT sluice_hold_items(false, '{evt_1}')",
        "SELECT sluice_tell_items(false, '{evt_1}')",
        "INSERT INTO operation_item (operation_id, position, item_id) SELECT id, 3, 'evt_3' FROM operation",
        "INSERT INTO operation_item (operation_id, position, item_id, result) VALUES (1, 3, 'evt_3', 'changed')",
        "UPDATE operation SET cancelled_at = now(), cancelled_by = 'ada'",
        "UPDATE operation SET ended_at = now()",
        "UPDATE operation_item SET done_at = now(), result = 'held' WHERE done_at IS NULL",
        "DELETE FROM webhook_logs",
        "SELECT webhook_secret FROM events",
        "UPDATE events SET payment_status = 'paid'",
        "UPDATE payment SET status = 'paid'",
        "UPDATE reconcile_account SET complete_until = now()",
        "DELETE FROM health_verdict",
        "DELETE FROM webhook_death",
        "UPDATE error_logs SET message = 'all is well'",
        "DELETE FROM error_logs",
        "INSERT INTO operation (verb, filter, reason, person, login) VALUES ('replay', '{}', 'why', 'ada', 'eve')",
        "INSERT INTO operation (verb, filter, reason, person, started_at) VALUES ('replay', '{}', 'why', 'ada', now())",
        "INSERT INTO body_view (stripe_event_id, person, login) VALUES ('evt_1', 'ada', 'eve')",
        "INSERT INTO body_view (stripe_event_id, person, viewed_at) VALUES ('evt_1', 'ada', now())",
        "UPDATE body_view SET person = 'eve'",
        "DELETE FROM body_view",
        "UPDATE operation SET reason = 'another'",
        "UPDATE operation SET login = 'eve', person = 'eve'",
        "DELETE FROM operation",
        "INSERT INTO pause (kind, value, began_by) VALUES ('type', 'charge.*', 1)",
        "UPDATE pause SET ended_at = now(), ended_by = 1",
        "DELETE FROM pause",
        "DELETE FROM paused_webhook",
        f"SELECT sluice_pause_webhooks({', '.join(['NULL'] * 6)})",
        "SELECT sluice_resume_webhooks('{}', '{}')",
        "UPDATE operation_item SET item_id = 'evt_9'",
        "UPDATE operation_item SET result = 'missing' WHERE done_at IS NOT NULL",
        "DELETE FROM operation_item",
        "TRUNCATE operation_item",
        "SELECT FROM operation_start",
        "INSERT INTO webhook_handler (name, types, organiser_types, acts_outside) VALUES ('a.c', '{}', '{}', false)",
        "UPDATE webhook_handler SET acts_outside = false",
        "INSERT INTO webhook_rehearsal (verb, items, found, person, login) VALUES ('replay', '{}', 0, 'ada', 'eve')",
        "UPDATE webhook_rehearsal SET answer = '{}'",
        "DELETE FROM webhook_rehearsal",
        "CREATE TABLE mine (id int)",
    ],
    "sluice_maintainer": [
        "SELECT FROM webhook_logs",
        "DELETE FROM webhook_logs",
        "SELECT body FROM webhook_body",
        "SELECT * FROM sluice_bodies('{1}')",
        "DELETE FROM error_logs",
        "SELECT FROM payment",
        "UPDATE body_storage SET partitions_from = now()",
        "CREATE TABLE mine (id int)",
    ],
    "sluice_migrator": [
        "SELECT * FROM sluice_carry_out(1, 0, 9, true)",
        "UPDATE body_view SET person = 'eve'",
        "DELETE FROM body_view",
        "UPDATE operation SET reason = 'another'",
        "DELETE FROM operation_item",
        "DELETE FROM operation",
        "DELETE FROM pause",
        "TRUNCATE operation CASCADE",
        f"SELECT sluice_fill_webhooks({', '.join(['NULL'] * 10)})",
        "SELECT webhook_secret FROM events",
        "INSERT INTO sluice_addition (kind) VALUES ('table')",
    ],
}


def cases(table: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Role and statement."""
    return ((role, statement) for role, statements in table.items() for statement in statements)


@asynccontextmanager
async def acting_as(db: Connection, role: str) -> AsyncIterator[None]:
    """Be that role for a while, and leave no trace."""
    transaction = db.transaction()
    await transaction.start()
    try:
        await db.execute(f"SET LOCAL ROLE {role}")
        yield
    finally:
        await transaction.rollback()


@pytest.fixture
async def with_rows(empty_database_url: str, db: Connection) -> None:
    """Sluice, and a row in each table that matters."""
    add_sluice(empty_database_url)
    await db.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body) VALUES ('evt_1', 'a.b', '{}');"
        "INSERT INTO events (name, webhook_secret) VALUES ('gala', 'whsec_1');"
        "INSERT INTO payment (scope, payment_id) VALUES ('live:platform', 'pi_1');"
        "INSERT INTO error_logs (severity, message) VALUES ('error', 'm');"
        "INSERT INTO sluice_migration (set_name, file_name, checksum) VALUES ('sluice', 'a', 'b');"
        "INSERT INTO health_verdict (healthd, began_at, ended_at, status, reasons, pool_timeouts, errors_lost)"
        " VALUES ('a', now(), now(), 'healthy', '{}', 0, 0);"
        "INSERT INTO webhook_death (stripe_event_id) VALUES ('evt_0');"
        "INSERT INTO thin_fetch (stripe_event_id) VALUES ('evt_1');"
        "INSERT INTO reconcile_account (livemode, account, complete_until) VALUES (true, 'platform', now());"
        "INSERT INTO webhook_delivery (stripe_event_id, verified_by) VALUES ('evt_1', 'platform:0a1b2c3d');"
        "INSERT INTO payment (scope, payment_id) VALUES ('live:acct_1', 'pi_2');"
        "INSERT INTO operation (verb, filter, reason, person) VALUES ('replay', '{}', 'why', 'ada');"
        "INSERT INTO operation_item (operation_id, position, item_id, done_at, result)"
        " VALUES (1, 1, 'evt_1', now(), 'changed'), (1, 2, 'evt_2', NULL, NULL);"
        "INSERT INTO operation_start (operation_id, position) VALUES (1, 1);"
        "INSERT INTO webhook_handler (name, types, organiser_types, acts_outside) VALUES ('a.b', '{}', '{}', false);"
        "INSERT INTO webhook_rehearsal (verb, items, found, person) VALUES ('replay', '{}', 0, 'ada');"
        "INSERT INTO body_view (stripe_event_id, person) VALUES ('evt_1', 'ada');"
        "INSERT INTO pause (kind, began_by) VALUES ('all', 1);"
        "INSERT INTO paused_webhook (stripe_event_id, pause_id) VALUES ('evt_8', 1)"
    )


async def test_each_role_may_do_its_own_work(with_rows: None, db: Connection) -> None:
    """And row level security lets it see and touch the rows."""
    for role, statement in cases(ALLOWED):
        async with acting_as(db, role):
            status = await db.execute(statement)
        touches = (
            not statement.startswith("CREATE") and "FROM payment_fact" not in statement and "findings" not in statement
        )
        assert not (touches and status.split()[-1] == "0"), (role, statement, status)


async def test_each_role_may_do_nothing_else(with_rows: None, db: Connection) -> None:
    """No service reads or changes what is another's."""
    for role, statement in cases(FORBIDDEN):
        async with acting_as(db, role):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await db.execute(f"/* {role} */ {statement}")


@pytest.mark.parametrize("kind", ["empty", "bigint", "text", "earlier"])
async def test_each_service_may_run_each_of_its_queries(kind: str, empty_database_url: str, db: Connection) -> None:
    """PostgreSQL checks rights when it explains; every query of every service, as its role."""
    await db.execute(KINDS[kind] or "SELECT")
    add_sluice(empty_database_url)
    for role, files in SERVICES.items():
        for name, query in ((f"{file.name}: {name}", query) for file in files for name, query in queries_of(file)):
            async with acting_as(db, role):
                await explain(db, query, name=f"{role} {name}")


FILL = """
    SELECT * FROM sluice_fill_webhooks(
        ARRAY['evt_1', 'evt_earlier_1', 'evt_earlier_2', 'evt_none'], array_fill('a.c'::text, ARRAY[4]),
        array_fill(1790000000::bigint, ARRAY[4]), array_fill(true, ARRAY[4]), NULL, NULL, NULL, NULL, NULL,
        array_fill('mine'::bytea, ARRAY[4])
    )
"""


@pytest.mark.parametrize("owner", ["postgres", "earlier_owner"])
async def test_ingest_fills_what_was_left_and_no_other_row(earlier_url: str, db: Connection, owner: str) -> None:
    """Not one that has a body, not one that was processed; with the rights of the table's owner."""
    await db.execute(
        f"DROP ROLE IF EXISTS earlier_owner; CREATE ROLE earlier_owner; ALTER TABLE webhook_logs OWNER TO {owner}"
    )
    add_sluice(earlier_url)
    await db.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body) VALUES ('evt_1', 'a.b', 'its own')"
    )
    async with acting_as(db, "sluice_ingest"):
        assert [row[0] for row in await db.fetch(FILL)] == ["evt_earlier_2"]
        assert await db.fetch(FILL) == []
        filled = await db.fetch(
            "SELECT stripe_event_id FROM webhook_logs WHERE body = 'mine' AND next_attempt_at = now()"
        )
        assert [row[0] for row in filled] == ["evt_earlier_2"]
    definer = "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'sluice_fill_webhooks'"
    assert await db.fetchval(definer) == owner
    await db.execute(f"ALTER TABLE webhook_logs OWNER TO {await db.fetchval('SELECT current_user')}")
    await db.execute(
        "REASSIGN OWNED BY earlier_owner TO CURRENT_USER; DROP OWNED BY earlier_owner; DROP ROLE earlier_owner"
    )


async def test_ingest_revives_what_is_dead_and_came_again_as_it_was(empty_database_url: str, db: Connection) -> None:
    """By its function alone, with the same bytes, and not what is unsupported, written off or alive."""
    add_sluice(empty_database_url)
    await db.execute(
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, dead_at, processed, outcome) VALUES"
        " ('evt_1', 'a.b', 'one', now(), false, 'failed'), ('evt_2', 'a.b', 'two', now(), false, 'unsupported'),"
        " ('evt_3', 'a.b', 'three', now(), true, 'ignored'), ('evt_4', 'a.b', 'four', NULL, false, NULL)"
    )
    async with acting_as(db, "sluice_ingest"):
        revive = "SELECT sluice_revive_webhook($1, $2)"
        assert await db.fetchval(revive, "evt_1", b"another") == "held"
        assert await db.fetchval(revive, "evt_1", b"one") == "revived"
        assert await db.fetchval(revive, "evt_1", b"one") == "alive"
        for number, body in ((2, b"two"), (3, b"three"), (4, b"four"), (5, b"five")):
            assert await db.fetchval(revive, f"evt_{number}", body) != "revived"
        rows = await db.fetch("SELECT revivals FROM webhook_logs ORDER BY stripe_event_id")
        assert [row["revivals"] for row in rows] == [1, 0, 0, 0]


async def test_earlier_tables_give_new_rows_their_serial_id(earlier_url: str, db: Connection) -> None:
    """Of a sequence that the service may use."""
    add_sluice(earlier_url)
    async with acting_as(db, "sluice_ingest"):
        await db.execute("INSERT INTO webhook_logs (stripe_event_id, webhook_type) VALUES ('evt_1', 'a.b')")
    async with acting_as(db, "sluice_processor"):
        await db.execute("INSERT INTO error_logs (severity, message) VALUES ('error', 'm')")


async def test_the_public_sees_nothing_of_sluices(supabase_url: str) -> None:
    """Not a table, row, sequence or function, although everything new was open to them."""
    add_sluice(supabase_url)
    db = await asyncpg.connect(supabase_url)
    tables = [
        row["relname"]
        for row in await db.fetch(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )
    ]
    assert len(tables) == 30
    for role in ("anon", "authenticated"):
        for statement in [
            *(f"SELECT FROM {table}" for table in tables),
            "SELECT sluice_event_key('x')",
            "SELECT nextval('webhook_logs_id_seq')",
            "SELECT nextval('webhook_death_id_seq')",
            FILL,
            "SELECT sluice_revive_webhook('evt_1', 'x')",
        ]:
            async with acting_as(db, role):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await db.execute(statement)
    assert await db.fetchval(
        "SELECT bool_and(relrowsecurity) FROM pg_class"
        " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    )
    assert await db.fetch("SELECT FROM sluice_schema_findings()") == []
    await db.execute("GRANT SELECT ON webhook_logs TO anon")
    assert [row["name"] for row in await db.fetch("SELECT name FROM sluice_schema_findings()")] == ["table_readable"]
    await db.close()


async def test_a_readable_secret_is_warned_of_with_its_cure(supabase_url: str) -> None:
    """The user's own events, open to the public: the migration warns, healthd can see it, the cure cures."""
    db = await asyncpg.connect(supabase_url)
    await db.execute('CREATE TABLE events (id bigint PRIMARY KEY, name text, created_at timestamp, "Odd One" int)')
    warned = psql(supabase_url, *ALL).stderr
    assert "WARNING:  secret_readable: anon may read events.webhook_secret" in warned
    await db.execute("SET ROLE sluice_healthd")
    found = await db.fetch("SELECT * FROM sluice_schema_findings() WHERE name = 'secret_readable'")
    await db.execute("RESET ROLE")
    assert len(found) == 2
    for row in found:
        assert row["cure"] in warned
        await db.execute(row["cure"])
    assert await db.fetch("SELECT FROM sluice_schema_findings() WHERE name = 'secret_readable'") == []
    async with acting_as(db, "anon"):
        await db.execute('SELECT id, name, "Odd One", payment_status FROM events')
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute("SELECT webhook_secret FROM events")
    await db.close()


@pytest.mark.parametrize(
    ("policy", "is_exposed"),
    [
        ("", False),
        ("CREATE POLICY p ON events FOR SELECT USING (true)", True),
        ("CREATE POLICY p ON events TO sluice_migrator", False),
    ],
)
async def test_row_security_of_events_counts(supabase_url: str, policy: str, is_exposed: bool) -> None:
    """A grant without a policy shows no row; Sluice's roles see the rows through policies of their own."""
    db = await asyncpg.connect(supabase_url)
    await db.execute("CREATE TABLE events (id bigint PRIMARY KEY, name text, created_at timestamp)")
    await db.execute("ALTER TABLE events ENABLE ROW LEVEL SECURITY; INSERT INTO events VALUES (1, 'gala', now())")
    psql(supabase_url, *ALL)
    await db.execute(policy or "SELECT")
    assert bool(await db.fetch("SELECT FROM sluice_schema_findings()")) == is_exposed
    for role in ("sluice_ingest", "sluice_processor"):
        async with acting_as(db, role):
            assert await db.fetchval("SELECT count(id) FROM events") == 1
    await db.close()


async def test_a_user_who_may_not_make_roles_is_told_what_to_run(empty_database_url: str, db: Connection) -> None:
    """The tables come, the warning names the roles, and a later run gives them their rights."""
    await db.execute("CREATE ROLE owner_only NOSUPERUSER; GRANT CREATE ON SCHEMA public TO owner_only")
    bodies = (CORE_FOLDER / "sprint3_webhook_bodies.sql").read_text()
    text = (FOUNDATION.read_text() + bodies + FUNCTIONS.read_text()).replace(
        "sluice_", "slu1ce_"
    )  # roles of these names exist nowhere
    told: list[str] = []
    try:
        await db.execute("SET ROLE owner_only")
        db.add_log_listener(lambda _, message: told.append(str(message)))
        await db.execute(text)
        for role in ("slu1ce_ingest", "slu1ce_processor", "slu1ce_healthd", "slu1ce_migrator"):
            assert any(f"CREATE ROLE {role} NOLOGIN;" in line for line in told), told
    finally:
        await db.execute("RESET ROLE; DROP OWNED BY owner_only CASCADE; DROP ROLE owner_only")


def queries_of(file: Path) -> list[tuple[str, str]]:
    """The queries of a file by name."""
    parts = re.split(r"^-- ([a-z0-9_]+) --$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


async def explain(db: Connection, query: str, *, name: str) -> None:
    """Have PostgreSQL plan a query and check who asks, with NULL for every argument."""
    count = max((int(number) for number in re.findall(r"\$(\d+)", query)), default=0)
    try:
        await db.execute(f"PREPARE q AS {query}")
        arguments = f"({', '.join(['NULL'] * count)})" if count else ""
        await db.execute(f"EXPLAIN EXECUTE q{arguments}")
        await db.execute("DEALLOCATE q")
    except asyncpg.PostgresError as error:
        raise AssertionError(f"{name}: {error}") from error
