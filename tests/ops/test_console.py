"""``sluice console``."""

from pathlib import Path

from click.testing import CliRunner

from sluice.ops.commands import sluice

URL = "postgresql://nobody@127.0.0.1:1/none"


def test_it_prints_the_next_link_with_the_persons_name(tmp_path: Path) -> None:
    """The link that the console left in its file."""
    file = tmp_path / "console.link"
    file.write_text("http://127.0.0.1:8080/enter?token=abc\n")
    done = CliRunner().invoke(
        sluice, ["console", "--by", "Ada & Co"], env={"DATABASE_URL": URL, "CONSOLE_LINK_FILE": str(file)}
    )
    assert (done.exit_code, done.output) == (0, "http://127.0.0.1:8080/enter?token=abc&by=Ada%20%26%20Co\n")


def test_without_a_console_it_says_what_to_do(tmp_path: Path) -> None:
    """No setting, or a file that is not there."""
    unset = CliRunner().invoke(sluice, ["console"], env={"DATABASE_URL": URL, "CONSOLE_LINK_FILE": None})
    gone = CliRunner().invoke(
        sluice, ["console"], env={"DATABASE_URL": URL, "CONSOLE_LINK_FILE": str(tmp_path / "none")}
    )
    assert (unset.exit_code, gone.exit_code) == (2, 1)
    assert "make run" in unset.output
    assert "is the console running?" in gone.output
