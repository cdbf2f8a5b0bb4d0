"""The interpreter that `make` picks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FIND_PYTHON = Path(__file__).resolve().parents[2] / "devstack" / "find-python"
REAL = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}"
HERE = f"python3.{sys.version_info[1]}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The only folder on the PATH."""
    return tmp_path


def _program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _find(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(FIND_PYTHON), *arguments],
        env={"PATH": str(folder), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )


def test_a_shim_that_fails_is_passed_over(folder: Path) -> None:
    """Version managers leave shims of versions that are not active; the newest that runs is taken."""
    for minor in range(sys.version_info[1] + 1, 15):
        _program(folder, f"python3.{minor}", "echo 'not active' >&2; exit 127")
    _program(folder, HERE, f'exec {REAL} "$@"')
    _program(folder, "python3", f'exec {REAL} "$@"')
    assert _find(folder).stdout == f"{folder}/{HERE}\n"


def test_a_plain_python3_serves_when_its_version_does(folder: Path) -> None:
    """Not every system names the version."""
    _program(folder, "python3", f'exec {REAL} "$@"')
    assert _find(folder).stdout == f"{folder}/python3\n"


def test_nothing_suitable_prints_nothing_and_explains_when_asked(folder: Path) -> None:
    """Make tests for an empty answer; a person reads what to do."""
    assert _find(folder).stdout == ""
    explained = _find(folder, "--explain")
    assert explained.stdout == ""
    assert "Sluice needs Python 3.11, 3.12, 3.13 or 3.14 with venv on the PATH" in explained.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("sys.version_info = (3, 9, 2)", "is Python 3.9; Sluice needs 3.11 to 3.14"),
        ("sys.modules['ensurepip'] = None", "lacks venv and ensurepip; on Debian and Ubuntu: apt install python3."),
        ("platform.libc_ver = lambda: ('', '')", "without glibc (Alpine?)"),
        ("platform.libc_ver = lambda: ('glibc', '2.17')", "runs on glibc 2.17; the wheels need 2.28"),
        ("platform.machine = lambda: 'riscv64'", "riscv64; PostgreSQL has wheels for"),
        ("platform.python_implementation = lambda: 'PyPy'", "is not a 64-bit CPython"),
    ],
)
def test_what_a_python_lacks_is_said_of_it(folder: Path, change: str, words: str) -> None:
    """Each lack has its own sentence, with the cure where there is one."""
    _program(folder, "python3", f'shift; exec {REAL} -c "import sys, platform\n{change}\n$1"')
    assert _find(folder).stdout == ""
    assert words in _find(folder, "--explain").stderr
