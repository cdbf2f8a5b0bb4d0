from urllib.parse import urlsplit

import pytest

from tests.ops.cli import cli
from tests.ops.rows import connected


async def test_an_empty_database_is_migrated_once(empty_database_url: str) -> None:
    """The first run names what it applied, the second says that there is nothing to do; then the others work."""
    first = await cli("migrate", DATABASE_URL=empty_database_url)
    assert first.exit_code == 0, first.output
    assert "Applied sluice/sprint1_database_foundation" in first.stdout
    second = await cli("migrate", DATABASE_URL=empty_database_url)
    assert second.stdout == "Nothing to do: the schema is up to date.\n"
    assert (await cli("status", DATABASE_URL=empty_database_url)).exit_code == 0


@pytest.mark.parametrize("flag", ["--check", "--preflight"])
async def test_a_check_changes_nothing(empty_database_url: str, flag: str) -> None:
    """It names what would be applied, and leaves no table behind."""
    result = await cli("migrate", flag, DATABASE_URL=empty_database_url)
    assert result.exit_code == 0
    assert "To be applied: sluice/sprint1_database_foundation" in result.stdout
    async with connected(empty_database_url) as connection:
        assert await connection.fetchval("SELECT to_regclass('webhook_logs')") is None


@pytest.mark.parametrize("arguments", [["migrate"], ["migrate", "--check"]])
async def test_each_conflict_comes_with_its_cure(empty_database_url: str, arguments: list[str]) -> None:
    """Exit code 1; following the cure makes the next run succeed."""
    async with connected(empty_database_url) as connection:
        await connection.execute("CREATE TABLE events (id uuid PRIMARY KEY, name text, payment_status integer)")
        result = await cli(*arguments, DATABASE_URL=empty_database_url)
        assert result.exit_code == 1
        cures = [line.strip() for line in result.stdout.splitlines() if line.startswith("   ")]
        assert cures
        for cure in cures:
            await connection.execute(cure)
    assert (await cli("migrate", DATABASE_URL=empty_database_url)).exit_code == 0


@pytest.mark.parametrize(
    ("url", "exit_code"),
    [("postgresql://nobody:hush@127.0.0.1:1/x", 75), ("postgresql://nobody:hush@127.0.0.1:port/x", 2)],
)
async def test_a_wrong_address_is_explained(url: str, exit_code: int) -> None:
    """No traceback and no password."""
    for arguments in (["migrate"], ["migrate", "--check"]):
        result = await cli(*arguments, DATABASE_URL=url)
        assert result.exit_code == exit_code
        assert "hush" not in result.output
        assert result.stderr.count("Error:") == 1


async def test_what_no_waiting_cures_is_no_later(empty_database_url: str) -> None:
    """A wrong password and a database that does not exist end a Job at once; 75 lets it try again."""
    parts = urlsplit(empty_database_url)
    for wrong in (parts._replace(path="/nowhere"), parts._replace(netloc=f"nobody:hush@127.0.0.1:{parts.port}")):
        result = await cli("migrate", DATABASE_URL=wrong.geturl())
        assert result.exit_code == 1, result.output
