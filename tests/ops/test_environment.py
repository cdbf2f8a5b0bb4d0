from importlib.metadata import version
from pathlib import Path

import click
import pytest

from sluice.ops.environment import Environment, detect_environment, local_stack
from tests.ops.cli import cli


def a_stack(folder: Path, url: str = "postgresql://local/sluice") -> Path:
    """Lay out the files that `make run` leaves."""
    (folder / ".local").mkdir()
    (folder / ".local" / "stack.env").write_text(f"DATABASE_URL='{url}'\nINGEST_ADMIN_URL=http://127.0.0.1:1\n")
    return folder


def test_the_environment_wins_and_is_not_mixed_with_the_stack(tmp_path: Path) -> None:
    """A production database is never shown with the laptop's services."""
    found = detect_environment({"DATABASE_URL": "postgresql://production/x"}, folder=a_stack(tmp_path))
    assert found.database_url() == "postgresql://production/x"
    assert found.get("INGEST_ADMIN_URL") is None


def test_the_local_stack_is_found_from_a_folder_below_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing is set, the stack that runs here is meant, and stderr says so."""
    below = a_stack(tmp_path) / "docs"
    below.mkdir()
    found = detect_environment({}, folder=below)
    assert found.database_url() == "postgresql://local/sluice"
    assert found.stack_folder == tmp_path / ".local"
    captured = capsys.readouterr()
    assert "make run" in captured.err
    assert captured.out == ""


def test_a_mounted_secret_is_read_from_its_file(tmp_path: Path) -> None:
    """DATABASE_URL_FILE works as everywhere in Sluice."""
    file = tmp_path / "url"
    file.write_text("postgresql://mounted/x\n")
    assert (
        detect_environment({"DATABASE_URL_FILE": str(file)}, folder=tmp_path).database_url() == "postgresql://mounted/x"
    )


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    """The message says which variable and which file."""
    with pytest.raises(click.UsageError, match=r"DATABASE_URL_FILE names .*gone"):
        Environment({"DATABASE_URL_FILE": str(tmp_path / "gone")}).database_url()


def test_no_stack_here(tmp_path: Path) -> None:
    """Nothing is invented."""
    assert local_stack(folder=tmp_path) is None


@pytest.mark.parametrize("command", [("status",), ("why", "pi_1"), ("migrate",)])
async def test_without_any_database_the_fix_is_named(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and both ways out."""
    monkeypatch.chdir(tmp_path)
    result = await cli(*command)
    assert result.exit_code == 2
    assert "DATABASE_URL=postgresql://" in result.stderr
    assert "make run" in result.stderr


async def test_the_version_is_told() -> None:
    """On one line, without a database."""
    result = await cli("--version")
    assert (result.exit_code, result.stdout) == (0, f"sluice {version('sluice')}\n")


@pytest.mark.parametrize("command", [(), ("status",), ("why",), ("send",), ("migrate",)])
async def test_every_command_has_help(command: tuple[str, ...]) -> None:
    """`--help` works everywhere and says something."""
    result = await cli(*command, "--help")
    assert result.exit_code == 0
    assert len(result.output) > 200


@pytest.mark.parametrize(
    ("url", "exit_code", "words"),
    [
        ("postgresql://nobody:hush@127.0.0.1:1/x", 1, "127.0.0.1:1/x cannot be reached"),
        ("mysql://nobody:hush@127.0.0.1/x", 2, "postgresql://user:password@host:5432/database"),
        ("postgresql://nobody:hush@127.0.0.1:port/x", 2, "postgresql://user:password@host:5432/database"),
    ],
)
async def test_a_wrong_address_is_explained_without_the_password(url: str, exit_code: int, words: str) -> None:
    """No traceback, no secret, a fix."""
    result = await cli("status", DATABASE_URL=url)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert words in result.stderr
    assert "hush" not in result.output
    assert "Traceback" not in result.output


async def test_a_wrong_password_and_a_missing_database_are_explained(database_url: str) -> None:
    """Both name DATABASE_URL."""
    head, _, name = database_url.rpartition("/")
    for url in (f"{head}/nothing_here", f"{head.replace('://', '://nobody:x', 1)}/{name}"):
        result = await cli("status", DATABASE_URL=url)
        assert result.exit_code == 1
        assert "Check" in result.stderr
        assert "DATABASE_URL" in result.stderr


@pytest.mark.parametrize("command", [("status",), ("status", "--since", "48h"), ("why", "pi_1")])
async def test_an_unmigrated_database_says_to_migrate(command: tuple[str, ...], empty_database_url: str) -> None:
    """The tables are not there: the fix is one command."""
    result = await cli(*command, DATABASE_URL=empty_database_url)
    assert result.exit_code == 1
    assert "sluice migrate" in result.stderr
