"""Databases of every kind that Sluice is added to, and how a person adds it."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from devstack.home import installed_programs
from sluice.postgres.migration_files import CORE_FOLDER, core_migrations

FOUNDATION = CORE_FOLDER / "sprint1_database_foundation.sql"
INDEXES = CORE_FOLDER / "sprint1_indexes_concurrently.sql"
FUNCTIONS = CORE_FOLDER / "functions.sql"
ALL = [CORE_FOLDER / file.file_name for file in core_migrations()]
PREFLIGHT = CORE_FOLDER / "preflight.sql"
SCHEMA = CORE_FOLDER / "schema.sql"
ROLLBACK = CORE_FOLDER / "rollback" / "sprint1_database_foundation.sql"

_EVENTS = "CREATE TABLE events (id {}, name text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());"
_ROWS = "INSERT INTO events (id, name) VALUES ({}, 'gala'), ({}, 'fair');"

KINDS: Mapping[str, str] = {
    "empty": "",
    "uuid": _EVENTS.format("uuid PRIMARY KEY")
    + _ROWS.format("'6a2f41a3-c54c-4ce8-92d2-0324e1c32e22'", "'6a2f41a3-c54c-4ce8-92d2-0324e1c32e23'"),
    "bigint": _EVENTS.format("bigserial PRIMARY KEY") + _ROWS.format("7", "8"),
    "integer": _EVENTS.format("integer PRIMARY KEY") + _ROWS.format("7", "8"),
    "text": _EVENTS.format("text PRIMARY KEY") + _ROWS.format("'gala-24'", "'fair-24'"),
    "varchar": _EVENTS.format("varchar(40) UNIQUE") + _ROWS.format("'gala-24'", "'fair-24'"),
    "earlier": (Path(__file__).parent / "earlier.sql").read_text(encoding="utf-8"),
}


def psql(url: str, *files: Path, options: str = "") -> subprocess.CompletedProcess[str]:
    """Run files as a person does, who knows nothing of ON_ERROR_STOP."""
    arguments = [part for file in files for part in ("-f", str(file))]
    return subprocess.run(
        [installed_programs() / "bin" / "psql", url, "-Xq", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"LC_ALL": "C", "PATH": os.defpath, "PGOPTIONS": options},
    )


def add_sluice(url: str) -> None:
    """All that a person runs; it must have nothing to say."""
    done = psql(url, *ALL)
    told = [line for line in done.stderr.splitlines() if not line.endswith("already exists, skipping")]
    assert told == []
