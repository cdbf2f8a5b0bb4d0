"""``make schema`` writes what is generated of the SQL: functions.sql, the foundation's preflight, and schema.sql."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from devstack.postgres import PostgresServer
from devstack.schema_at_a_glance import read_schema
from sluice.postgres.migration_files import CORE_FOLDER, FUNCTIONS, PREFLIGHT, core_migrations
from sluice.postgres.migrator import migrate

FOUNDATION = "sprint1_database_foundation.sql"
SCHEMA = "schema.sql"
_FIRST, _LAST = "_begin.sql", "_end.sql"
_BEGIN = "-- preflight: copied from preflight.sql by `make schema`\n"
_END = "-- preflight ends\n"
_HEAD = """\
-- repeatable: `sluice migrate` runs this file again whenever it has changed
-- Sluice's functions, who may call them, and the trigger. Written by `make schema` from functions/: change them there.
--   psql "$DATABASE_URL" -f migrations/functions.sql      after the foundation, or paste it into Supabase's editor
-- One transaction: all of it or nothing. Safe to run again.
"""


def functions(folder: Path = CORE_FOLDER) -> str:
    """All functions in one file that ``psql -f`` and any editor can run."""
    names = sorted(path.name for path in (folder / "functions").glob("sluice_*.sql"))
    return "\n".join([_HEAD, *(_read(folder / "functions" / name).rstrip() + "\n" for name in (_FIRST, *names, _LAST))])


def foundation(folder: Path = CORE_FOLDER) -> str:
    """The foundation with the preflight of today between its marks."""
    check = _read(folder / PREFLIGHT)
    before, _, rest = _read(folder / FOUNDATION).partition(_BEGIN)
    return f"{before}{_BEGIN}{check[check.index('DO $preflight$') :]}{_END}{rest.partition(_END)[2]}"


async def schema(empty_database_url: str) -> str:
    """The tables that the migrations make of an empty database."""
    await migrate(empty_database_url)
    return await read_schema(empty_database_url, "\n".join(file.text for file in core_migrations()))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _write(files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (CORE_FOLDER / name).write_text(text, encoding="utf-8")


async def _main() -> None:
    _write({FUNCTIONS: functions(), FOUNDATION: foundation()})
    with tempfile.TemporaryDirectory(prefix="sluice-schema-") as folder:
        server = await PostgresServer.start(Path(folder))
        try:
            _write({SCHEMA: await schema(server.url())})
        finally:
            await server.stop()


if __name__ == "__main__":
    asyncio.run(_main())
