"""The services leave out of their memory what they do not need."""

import subprocess
import sys

import pytest

from sluice.runtime.left_out import left_out

_IMPORTED = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"


@pytest.mark.parametrize("service", ["ingest.app", "processor.app", "healthd.app"])
def test_a_service_loads_nothing_that_only_commands_need(service: str) -> None:
    """Rich and click draw for people: a service would hold 3 MiB of them for nothing."""
    run = subprocess.run([sys.executable, "-c", _IMPORTED, service], capture_output=True, text=True, check=True)
    assert not {"rich", "click"} & set(run.stdout.split())


def test_what_is_left_out_can_be_imported_afterwards() -> None:
    """A command that draws imports Rich after the logs have left it out."""
    code = "import sluice.runtime.logs, rich.console; print(rich.console.Console.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "Console"


def test_what_is_imported_already_stays() -> None:
    """In a command that has begun to draw, the block changes nothing."""
    with left_out("subprocess"):
        assert sys.modules["subprocess"] is subprocess
    assert sys.modules["subprocess"] is subprocess
