"""The preflight names every conflict at once, and its cures cure."""

import re

import pytest

from sluice.postgres.migrator import Conflict, preflight
from tests.migrations.catalog import read_catalog
from tests.migrations.conftest import Connection
from tests.migrations.databases import FOUNDATION, PREFLIGHT, add_sluice, psql

_EVENTS = "CREATE TABLE events (id uuid PRIMARY KEY, name text, created_at timestamptz{});"
_LOGS = "CREATE TABLE webhook_logs (id serial PRIMARY KEY, stripe_event_id text UNIQUE, webhook_type text{});"
_ERRORS = "CREATE TABLE error_logs (id serial PRIMARY KEY, severity text, message text{});"

CONFLICTS = {
    "a payment_status of an enum": (
        "CREATE TYPE pay AS ENUM ('pending', 'paid');" + _EVENTS.format(", payment_status pay DEFAULT 'pending'"),
        "events.payment_status: its type is pay",
    ),
    "a payment_status too short": (
        _EVENTS.format(", payment_status varchar(10)"),
        "events.payment_status: its type is",
    ),
    "a CHECK on payment_status": (
        _EVENTS.format(", payment_status text CHECK (payment_status IN ('pending', 'paid', 'failed'))"),
        "events.payment_status: the CHECK events_payment_status_check refuses canceled, expired, refunded",
    ),
    "a CHECK on payment_status and another column": (
        _EVENTS.format(", payment_status text, amount int, CHECK (payment_status <> 'paid' OR amount > 0)"),
        "depending on other columns",
    ),
    "no name": (
        "CREATE TABLE events (id uuid PRIMARY KEY, created_at timestamptz)",
        "events.name: the column is missing",
    ),
    "no created_at": (
        "CREATE TABLE events (id uuid PRIMARY KEY, name text)",
        "events.created_at: the column is missing",
    ),
    "no id": ("CREATE TABLE events (name text, created_at timestamp)", "events.id: the column is missing"),
    "an id of another type": (
        "CREATE TABLE events (id numeric PRIMARY KEY, name text, created_at timestamp)",
        "events.id: its type is numeric",
    ),
    "an id that is not unique": (
        "CREATE TABLE events (id bigint, name text, created_at timestamp)",
        "events.id: no unique index",
    ),
    "an id unique only together": (
        "CREATE TABLE events (id bigint, team int, name text, created_at timestamp, PRIMARY KEY (team, id))",
        "events.id: no unique index",
    ),
    "a secret too short": (_EVENTS.format(", webhook_secret varchar(20)"), "events.webhook_secret: its type is"),
    "a date for a time": (
        _EVENTS.format(", last_webhook_received date"),
        "events.last_webhook_received: its type is date",
    ),
    "an intent that must be": (
        _EVENTS.format(", stripe_payment_intent_id text NOT NULL"),
        "events.stripe_payment_intent_id: it is NOT NULL",
    ),
    "a generated status": (
        _EVENTS.format(", payment_status text GENERATED ALWAYS AS ('paid') STORED"),
        "events.payment_status: it is generated",
    ),
    "a view for webhook_logs": ("CREATE VIEW webhook_logs AS SELECT 1 AS id", "webhook_logs: it is a view"),
    "a view for events": ("CREATE VIEW events AS SELECT 1 AS id", "events: it is a view"),
    "a column that must be filled": (
        _LOGS.format(", payload jsonb NOT NULL"),
        "webhook_logs.payload: it is NOT NULL without a default",
    ),
    "an error column that must be filled": (
        _ERRORS.format(", code int NOT NULL"),
        "error_logs.code: it is NOT NULL without a default",
    ),
    "an id without default": (
        "CREATE TABLE webhook_logs (id uuid PRIMARY KEY, stripe_event_id text UNIQUE, webhook_type text)",
        "webhook_logs.id: it is NOT NULL without a default",
    ),
    "a number without default": (
        "CREATE TABLE error_logs (id bigint PRIMARY KEY, severity text, message text)",
        "error_logs.id: it is NOT NULL without a default",
    ),
    "no id in webhook_logs": (
        "CREATE TABLE webhook_logs (stripe_event_id text PRIMARY KEY, webhook_type text)",
        "webhook_logs.id: the column is missing",
    ),
    "no stripe_event_id": (
        "CREATE TABLE webhook_logs (id serial PRIMARY KEY, webhook_type text)",
        "webhook_logs.stripe_event_id: the column is missing",
    ),
    "stripe_event_id not unique": (
        "CREATE TABLE webhook_logs (id serial PRIMARY KEY, stripe_event_id text, webhook_type text)",
        "webhook_logs.stripe_event_id: no unique index",
    ),
    "stripe_event_id unique under a condition": (
        (
            "CREATE TABLE webhook_logs (id serial PRIMARY KEY, stripe_event_id text, webhook_type text);"
            "CREATE UNIQUE INDEX ON webhook_logs (stripe_event_id) WHERE webhook_type = 'x'"
        ),
        "webhook_logs.stripe_event_id: no unique index",
    ),
    "stripe_event_id unique at the commit": (
        (
            "CREATE TABLE webhook_logs (id serial PRIMARY KEY, webhook_type text,"
            " stripe_event_id text UNIQUE DEFERRABLE INITIALLY DEFERRED)"
        ),
        "webhook_logs.stripe_event_id: no unique index",
    ),
    "duplicates of stripe_event_id": (
        (
            "CREATE TABLE webhook_logs (id serial PRIMARY KEY, stripe_event_id text, webhook_type text);"
            "INSERT INTO webhook_logs (stripe_event_id) VALUES ('evt_1'), ('evt_1'), ('evt_2')"
        ),
        "webhook_logs.stripe_event_id: 1 values are there more than once",
    ),
    "a processed without default": (_LOGS.format(", processed boolean"), "webhook_logs.processed: it has no default"),
    "rows of which nobody knows whether they were processed": (
        (
            "CREATE TABLE webhook_logs (id serial PRIMARY KEY, stripe_event_id text UNIQUE, webhook_type text,"
            " processed boolean DEFAULT false); INSERT INTO webhook_logs (stripe_event_id, processed)"
            " VALUES ('evt_1', NULL), ('evt_2', NULL), ('evt_3', true), ('evt_4', false)"
        ),
        "webhook_logs.processed: rows that say NULL: 2",
    ),
    "rows without a count of attempts": (
        (
            "CREATE TABLE webhook_logs (id serial PRIMARY KEY, stripe_event_id text UNIQUE, webhook_type text,"
            " processing_attempts int DEFAULT 0); INSERT INTO webhook_logs (stripe_event_id, processing_attempts)"
            " VALUES ('evt_1', NULL), ('evt_2', 1)"
        ),
        "webhook_logs.processing_attempts: rows that say NULL: 1",
    ),
    "a CHECK on attempts": (
        _LOGS.format(", processing_attempts int DEFAULT 0 CHECK (processing_attempts < 5)"),
        "refuses 1000",
    ),
    "a CHECK on types": (
        (
            "CREATE TABLE webhook_logs (id serial PRIMARY KEY, stripe_event_id text UNIQUE,"
            " webhook_type text CHECK (webhook_type LIKE 'payment_intent.%'))"
        ),
        "webhook_logs.webhook_type: the CHECK",
    ),
    "a foreign key of webhook_logs": (
        _EVENTS.format("") + "CREATE TABLE team (id text PRIMARY KEY);" + _LOGS.format(", tenant text REFERENCES team"),
        "webhook_logs.tenant: the foreign key webhook_logs_tenant_fkey",
    ),
    "an event_id that is a uuid and a foreign key": (
        _EVENTS.format("") + _ERRORS.format(", event_id uuid REFERENCES events"),
        "error_logs.event_id: its type is uuid",
    ),
    "a severity of fewer kinds": (
        "CREATE TABLE error_logs (id serial PRIMARY KEY, message text, severity text CHECK (severity = 'info'))",
        "refuses error, warning, critical, high",
    ),
    "a table of the user's own": ("CREATE TABLE invoice (number text)", "invoice: this name is taken"),
}


@pytest.mark.parametrize("kind", CONFLICTS)
async def test_each_conflict_is_named_and_its_cure_cures_it(kind: str, empty_database_url: str, db: Connection) -> None:
    """The statements that the preflight prints make it silent, and the migrations succeed."""
    setup, told = CONFLICTS[kind]
    await db.execute(setup)
    conflicts = await preflight(empty_database_url)
    assert any(told in conflict.problem for conflict in conflicts), conflicts
    for conflict in conflicts:
        await db.execute(conflict.cure)
    await db.execute(FOUNDATION.read_text())


async def test_who_follows_the_cure_for_unknown_rows_gives_none_a_second_effect(
    empty_database_url: str, db: Connection
) -> None:
    """NULL may mean processed: taken as it stands, the cure makes them so; and what is known stays."""
    setup, _ = CONFLICTS["rows of which nobody knows whether they were processed"]
    await db.execute(setup)
    (conflict,) = await preflight(empty_database_url)
    assert "= false for those whose effect is known to be missing" in conflict.cure
    await db.execute(conflict.cure)
    rows = await db.fetch("SELECT processed FROM webhook_logs ORDER BY stripe_event_id")
    assert [row["processed"] for row in rows] == [True, True, True, False]


async def test_all_conflicts_come_at_once(empty_database_url: str, db: Connection) -> None:
    """All conflicts are told at once."""
    await db.execute("CREATE TABLE events (id numeric, webhook_secret varchar(3)); CREATE TABLE payment (a int)")
    told = [conflict.problem.split(":")[0] for conflict in await preflight(empty_database_url)]
    assert told == ["payment", "events.id", "events.name", "events.created_at", "events.webhook_secret", "events.id"]


async def test_the_migration_stops_with_the_same_findings(empty_database_url: str, db: Connection) -> None:
    """The foundation begins with the preflight's lines, and changes nothing if it finds any."""
    await db.execute("CREATE TABLE events (id numeric)")
    before = await read_catalog(empty_database_url)
    told = psql(empty_database_url, FOUNDATION).stderr
    for conflict in await preflight(empty_database_url):
        assert conflict.problem in told
        assert conflict.cure in told
    assert await read_catalog(empty_database_url) == before


async def test_the_preflight_reads_only(any_url: str) -> None:
    """It runs where nothing may be written, and says in one sentence that nothing is in the way, before and after."""
    options = "-c default_transaction_read_only=on"
    for add in (add_sluice, str):
        told = psql(any_url, PREFLIGHT, options=options).stderr
        assert told.endswith("NOTICE:  Nothing is in the way: Sluice goes with this database.\n")
        assert told.count("\n") == 1
        add(any_url)


async def test_a_person_sees_each_conflict_with_its_cure(empty_database_url: str, db: Connection) -> None:
    """``psql -f migrations/preflight.sql`` prints a numbered list."""
    await db.execute("CREATE TABLE invoice (number text)")
    told = psql(empty_database_url, PREFLIGHT).stderr
    assert "Conflicts: 1." in told
    assert re.search(r"^1\. invoice: .*\n   ALTER TABLE invoice RENAME TO your_invoice;", told, re.MULTILINE)


async def test_who_may_not_alter_the_tables_is_told(empty_database_url: str, db: Connection) -> None:
    """The owner's grant is the cure."""
    await db.execute(_EVENTS.format(""))
    await db.execute("DROP ROLE IF EXISTS visitor; CREATE ROLE visitor")
    try:
        await db.execute("SET ROLE visitor")
        with pytest.raises(Exception, match="GRANT postgres TO visitor") as refused:
            await db.execute(PREFLIGHT.read_text())
        assert "GRANT CREATE ON SCHEMA public TO visitor" in str(refused.value)
    finally:
        await db.execute("RESET ROLE; DROP ROLE visitor")


def test_a_conflict_reads_as_two_lines() -> None:
    """`sluice migrate --check` prints it so."""
    assert (
        str(Conflict("events.name: the column is missing.", "ALTER …;"))
        == "events.name: the column is missing.\n   ALTER …;"
    )
