"""``--help`` of a service."""

from importlib import metadata

import pytest
from click.testing import CliRunner

from sluice.ops.commands import sluice
from sluice.runtime.settings import ServiceSettings
from sluice.service.command_line import explain


def test_help_tells_each_setting_and_which_are_required(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each setting, those besides first."""
    with pytest.raises(SystemExit) as ended:
        explain("sluice-x", "Do x.", ServiceSettings, besides={"X_SECRET": "opens x"}, arguments=["--help"])
    lines = capsys.readouterr().out.splitlines()
    names = ["X_SECRET", *map(str.upper, ServiceSettings.model_fields)]
    settings = lines[-len(names) :]
    assert ended.value.code == 0
    assert [line.split()[0] for line in settings] == names
    assert [line for line in lines if line.endswith("(required)")] == [settings[1]]


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The distribution's, on one line, without any setting."""
    with pytest.raises(SystemExit) as ended:
        explain("sluice-x", "Do x.", ServiceSettings, arguments=["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"sluice-x {metadata.version('sluice')}\n"


def test_other_arguments_are_refused() -> None:
    """Nothing can be set on the command line, which every user of the machine can read."""
    with pytest.raises(SystemExit) as ended:
        explain("sluice-x", "Do x.", ServiceSettings, arguments=["--port=1"])
    assert ended.value.code == 2


def test_sources_that_are_not_installed_have_a_version_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the image of `tilt up`, where every service asks for it at its start."""

    def nothing_installed(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nothing_installed)
    with pytest.raises(SystemExit) as ended:
        explain("sluice-x", "Do x.", ServiceSettings, arguments=["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "sluice-x development\n"
    explain("sluice-x", "Do x.", ServiceSettings, arguments=[])
    assert CliRunner().invoke(sluice, ["--version"]).exit_code == 0
