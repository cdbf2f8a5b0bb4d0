"""The Dockerfile, read; building it takes a builder and a base image."""

import re
import subprocess
import tomllib
from fnmatch import fnmatch

from tests.chart.helm import CHART, ROOT, pod_specs, read, render

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = {
    name: text for text, name in ((part, part.split(" AS ")[1].split()[0]) for part in DOCKERFILE.split("\nFROM ")[1:])
}
INSTRUCTION = re.compile(r"^([A-Z]+) (.*)$", re.MULTILINE)


def _of(stage: str, instruction: str) -> list[str]:
    return [found[1] for found in INSTRUCTION.findall(STAGES[stage]) if found[0] == instruction]


def test_it_runs_as_a_number_that_is_not_root() -> None:
    """The one that the chart says; a kubelet can tell that a number is not root."""
    spec = pod_specs(render({"secrets": {"name": "sluice"}}))["Deployment/ingest"]
    user, group = spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]
    for stage in ("run", "dev"):
        assert _of(stage, "USER") == [f"{user}:{group}"]


def test_nothing_that_ships_belongs_to_that_user() -> None:
    """Only the `dev` target has a tree that may be written."""
    assert "--chown" not in STAGES["run"]
    assert "--chown" in STAGES["dev"]


def test_python_gets_its_signals_itself() -> None:
    """No entry point and no shell form: what the chart names is PID 1."""
    for stage in ("run", "dev"):
        assert _of(stage, "ENTRYPOINT") == []
        assert all(command.startswith("[") for command in _of(stage, "CMD"))


def test_packages_come_from_the_lock_with_hashes() -> None:
    """Each `pip install` of packages checks hashes, and resolves nothing."""
    installs = re.findall(r"pip install ([^\n]*)", DOCKERFILE)
    assert len(installs) == 3
    for options in installs:
        assert "--no-deps" in options
        assert "--require-hashes" in options or "--no-index" in options


def test_the_installer_stays_behind() -> None:
    """Neither the environment nor the base image's own; the bases are arguments."""
    assert "pip uninstall --quiet --yes pip" in STAGES["build"]
    assert "rm -rf" in STAGES["run"]
    assert re.search(r"^ARG BASE=\S+:3\.1[1-4]\S*$", DOCKERFILE, re.MULTILINE)
    assert STAGES["run"].startswith("${BASE} AS run")


def test_every_package_of_ours_is_copied() -> None:
    """Those of pyproject.toml; the wheel leaves the rest out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    for stage in ("build", "dev"):
        copied = [line.split()[-2] for line in _of(stage, "COPY")]
        assert all(any(fnmatch(source, pattern) for source in copied) for pattern in packages)


def test_what_is_copied_is_in_the_context() -> None:
    """.dockerignore lets exactly those through, so that no secret of a laptop is ever sent to a builder."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    admitted = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source.removesuffix("/restart_on_change.py")
        for stage in ("dependencies", "build", "dev")
        for line in _of(stage, "COPY")
        for source in line.replace("--chown=65532:65532 ", "").split()[:-1]
    }
    assert copied == admitted


def test_the_chart_runs_the_version_of_the_package() -> None:
    """AppVersion is the tag where none is said."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert read(CHART / "Chart.yaml")["appVersion"] == project["project"]["version"]


def test_make_image_says_what_is_missing() -> None:
    """Without any builder: one sentence, and a failure."""
    done = subprocess.run(["make", "image", "BUILDER="], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "buildah" in done.stderr
