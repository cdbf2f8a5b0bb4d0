"""The commands of the README exist after `make run` or `make test`."""

import re
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
COMMANDS = sorted(set(re.findall(r"\.venv/bin/([\w-]+)", README.read_text())))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme_are_installed(command: str) -> None:
    """Each `.venv/bin/…` of the README exists in an environment that the Makefile made."""
    assert (Path(sys.executable).parent / command).exists(), f"make {Path('.venv/bin', command)} installs it"
