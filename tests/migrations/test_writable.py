"""Findings about roles that may write the columns that decide a payment, each with its cure."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tests.migrations.conftest import Connection
from tests.migrations.databases import ALL as FILES
from tests.migrations.databases import psql
from tests.migrations.test_rights import acting_as

ALL = {"secret_writable", "account_writable", "intent_writable", "status_writable"}
EVENTS = 'CREATE TABLE events (id bigint PRIMARY KEY, name text, created_at timestamp, "Odd One" int);'
ROW_SECURITY = "ALTER TABLE events ENABLE ROW LEVEL SECURITY;"


@pytest_asyncio.fixture
async def supabase(supabase_url: str) -> AsyncIterator[Connection]:
    """A superuser's connection to a database as Supabase makes it."""
    connection = await asyncpg.connect(supabase_url)
    yield connection
    await connection.close()


async def writable(db: Connection) -> set[tuple[str, str]]:
    """Names of findings with the first word of each: whom they are about."""
    rows = await db.fetch("SELECT name, finding FROM sluice_schema_findings() WHERE name LIKE '%writable'")
    return {(row["name"], row["finding"].split()[0]) for row in rows}


def add(url: str) -> str:
    """Add Sluice; what it warned of."""
    return psql(url, *FILES).stderr


async def test_what_the_public_may_write_is_warned_of_and_cured(supabase_url: str, supabase: Connection) -> None:
    """All four columns, for each role; the cures leave them the other columns, and nothing of these."""
    await supabase.execute(EVENTS)
    await supabase.execute("INSERT INTO events VALUES (1, 'gala', now(), 1)")
    warned = add(supabase_url)
    assert await writable(supabase) == {(name, role) for name in ALL for role in ("anon", "authenticated")}
    await supabase.execute("SET ROLE sluice_healthd")
    cures = await supabase.fetch("SELECT cure FROM sluice_schema_findings() WHERE name LIKE '%writable'")
    await supabase.execute("RESET ROLE")
    for row in cures:
        assert row["cure"] in warned
        await supabase.execute(row["cure"])
    assert await writable(supabase) == set()
    async with acting_as(supabase, "anon"):
        await supabase.execute("""UPDATE events SET name = 'ball', "Odd One" = 2""")
        for column in ("webhook_secret", "stripe_account_id", "stripe_payment_intent_id", "payment_status"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with supabase.transaction():
                    await supabase.execute(f"UPDATE events SET {column} = 'mine'")  # noqa: S608


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ("", set()),
        ("CREATE POLICY p ON events FOR SELECT USING (true)", set()),
        ("CREATE POLICY p ON events FOR DELETE USING (true)", set()),
        ("CREATE POLICY p ON events AS RESTRICTIVE FOR UPDATE USING (true)", set()),
        ("CREATE POLICY p ON events FOR UPDATE TO sluice_migrator USING (true)", set()),
        ("CREATE POLICY p ON events FOR UPDATE USING (name = 'mine')", ALL),
        ("CREATE POLICY p ON events FOR INSERT TO authenticated WITH CHECK (true)", ALL),
        ("CREATE POLICY p ON events TO anon USING (true)", ALL),
    ],
)
async def test_row_security_decides_who_may_write(
    supabase_url: str, supabase: Connection, statements: str, expected: set[str]
) -> None:
    """A grant is nothing without a policy for that command."""
    await supabase.execute(EVENTS + ROW_SECURITY)
    add(supabase_url)
    await supabase.execute(statements or "SELECT")
    assert {name for name, _ in await writable(supabase)} == expected


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        ("GRANT UPDATE (webhook_secret) ON events TO PUBLIC", {("secret_writable", "PUBLIC")}),
        ("GRANT INSERT (stripe_account_id) ON events TO anon", {("account_writable", "anon")}),
        ("GRANT UPDATE (stripe_payment_intent_id) ON events TO anon", {("intent_writable", "anon")}),
        ("GRANT UPDATE (payment_status, name) ON events TO authenticated", {("status_writable", "authenticated")}),
        ("GRANT UPDATE ON events TO PUBLIC", {(name, "PUBLIC") for name in ALL}),
        ("GRANT UPDATE ON events TO above; GRANT above TO anon", {(name, "above") for name in ALL}),
        ("GRANT UPDATE (name) ON events TO PUBLIC", set()),
        ("GRANT UPDATE ON events TO above", set()),
    ],
)
async def test_each_way_to_a_column_is_seen_and_cured(
    supabase_url: str, supabase: Connection, grant: str, expected: set[tuple[str, str]]
) -> None:
    """Of the table or the column, to PUBLIC, to a role, or to one whose rights it inherits."""
    await supabase.execute(EVENTS + "REVOKE ALL ON events FROM anon, authenticated")
    add(supabase_url)
    await supabase.execute("DROP ROLE IF EXISTS above; CREATE ROLE above")
    try:
        await supabase.execute(grant)
        assert await writable(supabase) == expected
        for row in await supabase.fetch("SELECT cure FROM sluice_schema_findings() WHERE name LIKE '%writable'"):
            await supabase.execute(row["cure"])
        assert await writable(supabase) == set()
    finally:
        await supabase.execute("DROP OWNED BY above; DROP ROLE above")


async def test_an_owner_passes_row_security_by(supabase_url: str, supabase: Connection) -> None:
    """Where a public role has the rights of the table's owner; unless the owner is bound by it too."""
    await supabase.execute(EVENTS + ROW_SECURITY + "REVOKE ALL ON events FROM anon, authenticated")
    add(supabase_url)
    await supabase.execute("DROP ROLE IF EXISTS holder; CREATE ROLE holder; GRANT holder TO anon")
    try:
        await supabase.execute("ALTER TABLE events OWNER TO holder")
        assert await writable(supabase) == {(name, "holder") for name in ALL}
        await supabase.execute("ALTER TABLE events FORCE ROW LEVEL SECURITY")
        assert await writable(supabase) == set()
    finally:
        await supabase.execute("REASSIGN OWNED BY holder TO CURRENT_USER; DROP OWNED BY holder; DROP ROLE holder")
