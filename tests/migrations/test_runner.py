"""``sluice migrate``: each migration once, even with others running, and never through a pooler."""

import asyncio
import socket
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import asyncpg
import pytest

from sluice.failures import DatabaseUnavailable
from sluice.postgres import migration_files
from sluice.postgres.migration_files import (
    MigrationFile,
    MigrationsMissing,
    core_migrations,
    installed_migrations,
    migrations_in,
)
from sluice.postgres.migrator import (
    ConflictsFound,
    MigrationBusy,
    MigrationChanged,
    MigrationFailed,
    migrate,
    pending,
)
from sluice.postgres.session_connection import PoolerRefused, direct_connection
from tests.migrations.catalog import read_catalog
from tests.migrations.conftest import Connection
from tests.migrations.databases import add_sluice
from tests.migrations.pooler import pooled
from tests.waiting import until

CORE = [file.name for file in core_migrations()]
BONUS = MigrationFile("bonus", "0001_bonus.sql", "CREATE TABLE bonus (id bigint PRIMARY KEY);\n")


async def test_it_applies_what_is_missing_and_says_so(any_url: str) -> None:
    """The first run all, the second nothing; the result is what psql makes."""
    assert await pending(any_url) == CORE
    assert [applied.name for applied in await migrate(any_url)] == CORE
    assert await pending(any_url) == []
    assert await migrate(any_url) == []
    by_runner = await read_catalog(any_url)
    add_sluice(any_url)
    assert await read_catalog(any_url) == by_runner


async def test_ten_at_once_apply_each_migration_once(empty_database_url: str, db: Connection) -> None:
    """One works, the others wait and find nothing to do."""
    runs = await asyncio.gather(*(migrate(empty_database_url) for _ in range(10)))
    assert sorted(applied.name for run in runs for applied in run) == sorted(CORE)
    assert await db.fetchval("SELECT count(*) FROM sluice_migration") == len(CORE)
    assert await db.fetchval("SELECT bool_and(indisvalid) FROM pg_index")


async def test_what_psql_applied_is_only_noted(empty_database_url: str, db: Connection) -> None:
    """A person ran the files; the runner runs them again, which changes nothing, and remembers."""
    add_sluice(empty_database_url)
    before = await read_catalog(empty_database_url)
    assert [applied.name for applied in await migrate(empty_database_url)] == CORE
    assert await read_catalog(empty_database_url) == before


async def test_what_exists_already_is_no_warning(empty_database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A second look at what ``psql`` applied prints nothing but what a migration warns of."""
    add_sluice(empty_database_url)
    warned = MigrationFile("bonus", "0001_warn.sql", "DO $$ BEGIN RAISE WARNING 'look here'; END $$;\n")
    await migrate(empty_database_url, files=[*core_migrations(), warned])
    captured = capsys.readouterr()
    told = captured.out + captured.err
    assert "look here" in told
    assert "already exists" not in told


async def test_conflicts_stop_it_with_their_cures(empty_database_url: str, db: Connection) -> None:
    """The message holds each problem and its ALTER; nothing was changed."""
    await db.execute("CREATE TABLE events (id bigint PRIMARY KEY, created_at timestamp); CREATE TABLE invoice (a int)")
    with pytest.raises(ConflictsFound, match="ALTER TABLE events ADD COLUMN name text;") as refused:
        await migrate(empty_database_url)
    assert [conflict.problem for conflict in refused.value.conflicts] == [
        "invoice: this name is taken, and Sluice needs it for a table of its own.",
        "events.name: the column is missing.",
    ]
    assert await db.fetchval("SELECT to_regclass('webhook_logs')") is None


async def test_rows_with_processed_null_stop_it(empty_database_url: str, db: Connection) -> None:
    """They are counted; nothing is applied."""
    await db.execute(
        "CREATE TABLE webhook_logs (id serial PRIMARY KEY, stripe_event_id text UNIQUE, webhook_type text,"
        " processed boolean DEFAULT false);"
        "INSERT INTO webhook_logs (stripe_event_id, processed) VALUES ('evt_1', NULL)"
    )
    with pytest.raises(ConflictsFound, match="rows that say NULL: 1"):
        await migrate(empty_database_url)
    assert await db.fetchval("SELECT to_regclass('payment')") is None


async def test_a_transaction_pooler_is_refused(empty_database_url: str, db: Connection) -> None:
    """Idle or busy; and nothing was changed."""
    async with pooled(empty_database_url) as address:
        connection = await asyncpg.connect(address, statement_cache_size=0)
        assert await connection.fetchval("SELECT 1") == 1
        with pytest.raises(PoolerRefused, match="pooler in transaction mode"):
            await migrate(address)
        connection.terminate()
    assert await db.fetchval("SELECT to_regclass('webhook_logs')") is None


async def test_a_direct_connection_is_one_session(empty_database_url: str) -> None:
    """No false alarm, also while others come and go."""
    for _ in range(3):
        async with direct_connection(empty_database_url) as session:
            pid = await session.fetchval("SELECT pg_backend_pid()")
            assert await session.fetchval("SELECT pg_backend_pid()") == pid


async def test_a_changed_migration_is_refused(empty_database_url: str, db: Connection) -> None:
    """The applied file and the present one must agree; the message says what to do."""
    await migrate(empty_database_url, files=[*core_migrations(), BONUS])
    changed = MigrationFile(BONUS.set_name, BONUS.file_name, f"{BONUS.text}-- more\n")
    with pytest.raises(
        MigrationChanged, match=r"bonus/0001_bonus.sql was applied and has been changed since: restore it"
    ):
        await migrate(empty_database_url, files=[*core_migrations(), changed])


async def test_a_failing_migration_leaves_nothing_of_itself(empty_database_url: str, db: Connection) -> None:
    """Earlier files stay applied; run again when it is mended, it goes on there."""
    broken = MigrationFile("bonus", "0002.sql", "CREATE TABLE half (id int);\nSELECT 1 / 0;\n")
    with pytest.raises(MigrationFailed, match=r"bonus/0002.sql: PostgreSQL refused it .22012.: division by zero"):
        await migrate(empty_database_url, files=[*core_migrations(), BONUS, broken])
    assert await db.fetchval("SELECT to_regclass('half')") is None
    mended = MigrationFile("bonus", "0002.sql", "CREATE TABLE half (id int);\n")
    assert [one.name for one in await migrate(empty_database_url, files=[*core_migrations(), BONUS, mended])] == [
        "bonus/0002.sql"
    ]


async def test_a_busy_table_is_waited_for_without_holding_up_others(
    empty_database_url: str, db: Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    """The lock is asked for briefly, given up, and asked for again; then the migration succeeds."""
    await db.execute("CREATE TABLE events (id bigint PRIMARY KEY, name text, created_at timestamp)")
    reader = db.transaction()
    await reader.start()
    await db.execute("SELECT FROM events")
    run = asyncio.create_task(migrate(empty_database_url))
    await until(lambda: "migration_waits" in "".join(capfd.readouterr()))
    await reader.rollback()
    assert [applied.name for applied in await run] == CORE


async def test_a_table_that_stays_busy_is_given_up(
    empty_database_url: str, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sentence that says where to look."""
    await migrate(empty_database_url)
    monkeypatch.setattr("sluice.postgres.migrator._TRIES", 2)
    slow = MigrationFile(
        "bonus", "0001.sql", "SET LOCAL lock_timeout = '50ms';\nALTER TABLE payment ADD COLUMN x int;\n"
    )
    async with db.transaction():
        await db.execute("SELECT FROM payment")
        with pytest.raises(MigrationBusy, match=r"bonus/0001.sql waited 2 times .* pg_stat_activity"):
            await migrate(empty_database_url, files=[slow])


async def test_an_unfinished_concurrent_index_is_built_anew(empty_database_url: str, db: Connection) -> None:
    """In any set: what a killed run left is dropped first; a unique index that cannot be is no success."""
    await db.execute("CREATE TABLE bonus (id int); INSERT INTO bonus VALUES (1), (1)")
    text = "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS bonus_id ON bonus (id);\n"
    files = [*core_migrations(), MigrationFile("bonus", "0002.sql", text)]
    for _ in range(2):
        with pytest.raises(MigrationFailed, match="23505"):
            await migrate(empty_database_url, files=files)
        assert not await db.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'bonus_id'::regclass")
    await db.execute("DELETE FROM bonus")
    await migrate(empty_database_url, files=files)
    assert await db.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'bonus_id'::regclass")


def test_statements_end_outside_dollar_quotes() -> None:
    """A file without a transaction is run statement by statement."""
    text = "-- no-transaction\nDO $a$\nBEGIN\n  NULL; -- x;\nEND\n$a$;\n\n-- note;\nSELECT ';',\n 2; -- two\n"
    first, second = MigrationFile("s", "f.sql", text).statements()
    assert first.endswith("END\n$a$;")
    assert second.strip() == "-- note;\nSELECT ';',\n 2; -- two"


def test_files_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Ten comes after two."""
    for name in ("10_c.sql", "2_b.sql", "1_a.sql", "notes.txt"):
        (tmp_path / name).write_text("SELECT 1;")
    assert [file.file_name for file in migrations_in(tmp_path, "s")] == ["1_a.sql", "2_b.sql", "10_c.sql"]


def test_installed_packages_bring_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point names a package or a path; Sluice's own set comes first."""
    for name in ("zebra", "apple"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("from pathlib import Path\nHERE = Path(__file__).parent\n")
        (tmp_path / name / "0001.sql").write_text("SELECT 1;")
    monkeypatch.syspath_prepend(tmp_path)
    points = EntryPoints(
        [EntryPoint("zebra", "zebra", "sluice.migrations"), EntryPoint("apple", "apple:HERE", "sluice.migrations")]
    )
    monkeypatch.setattr(migration_files, "entry_points", lambda **_: points)
    assert [file.name for file in installed_migrations()] == [*CORE, "apple/0001.sql", "zebra/0001.sql"]
    points = EntryPoints([EntryPoint("odd", "json:dumps", "sluice.migrations")])
    with pytest.raises(MigrationsMissing, match=r"'odd' of sluice.migrations names neither"):
        installed_migrations()


async def test_a_database_that_is_away_is_told_as_such() -> None:
    """Nothing listens there; the same call may succeed later."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DatabaseUnavailable):
            await migrate(f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/x")


async def test_a_wrong_password_is_no_trace(empty_database_url: str) -> None:
    """One sentence, without the password."""
    user, _, rest = empty_database_url.partition("://")[2].partition(":")
    wrong = f"postgresql://{user}:not-this@{rest.partition('@')[2]}"
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as refused:
        await migrate(wrong)
    assert "not-this" not in str(refused.value)
