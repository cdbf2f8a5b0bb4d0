"""The files that `make schema` writes stand in the tree as it would write them now."""

import re
from pathlib import Path

import pytest

from devstack import schema_files
from sluice.postgres.migration_files import CORE_FOLDER
from sluice.postgres.migrator import migrate
from tests.migrations.conftest import Connection
from tests.migrations.databases import ROLLBACK

ADVICE = "run `make schema`"
FUNCTION_FILES = sorted((CORE_FOLDER / "functions").glob("sluice_*.sql"))


def test_functions_sql_holds_the_functions_of_today() -> None:
    """All files of functions/, between the begin and the rights."""
    assert (CORE_FOLDER / "functions.sql").read_text() == schema_files.functions(), ADVICE


def test_the_foundation_holds_the_preflight_of_today() -> None:
    """Word for word."""
    assert (CORE_FOLDER / "sprint1_database_foundation.sql").read_text() == schema_files.foundation(), ADVICE


async def test_schema_sql_shows_the_tables_of_today(empty_database_url: str) -> None:
    """As the migrations make them of an empty database."""
    assert (CORE_FOLDER / "schema.sql").read_text() == await schema_files.schema(empty_database_url), ADVICE


@pytest.mark.parametrize("file", FUNCTION_FILES, ids=lambda path: path.stem)
def test_a_file_of_functions_is_named_after_one_of_them(file: Path) -> None:
    """So that a name leads to its file."""
    assert f"FUNCTION {file.stem}(" in file.read_text()


async def test_the_functions_pass_the_checks_that_postgresql_brings(empty_database_url: str, db: Connection) -> None:
    """No variable hides another, none is assigned too few or too many values; see docs/decisions for plpgsql_check."""
    await migrate(empty_database_url)
    await db.execute("SET plpgsql.extra_errors = 'all'")
    await db.execute((CORE_FOLDER / "functions.sql").read_text())


def test_every_function_is_given_rights_and_taken_out_again() -> None:
    """It stands in the list at the end of functions.sql, and in the rollback's."""
    text = (CORE_FOLDER / "functions.sql").read_text()
    made = set(re.findall(r"FUNCTION (sluice_\w+)\(", text))
    assert set(re.findall(r'^ +"(sluice_\w+)": \[', text, re.MULTILINE)) == made
    assert made <= set(re.findall(r"'(sluice_\w+)'", ROLLBACK.read_text()))
