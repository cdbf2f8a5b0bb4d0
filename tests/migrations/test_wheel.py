"""The built wheel contains all that it needs."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sluice.postgres.migration_files import CORE_FOLDER

ROOT = Path(__file__).parents[2]
OUR_NAMES = {"sluice", "ingest", "processor", "healthd", "reconciler", "console"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The names in a wheel that was built of a copy of this tree, whose links are links there too."""
    copy = tmp_path_factory.mktemp("build") / "copy"
    left_out = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "fixtures")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", copy / "built", copy], check=True, timeout=100)
    (built,) = (copy / "built").glob("*.whl")
    return frozenset(zipfile.ZipFile(built).namelist())


def test_the_wheel_installs_no_name_beside_ours(wheel: frozenset[str]) -> None:
    """Nothing that another package may bring: no `migrations`, no `tests`."""
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == OUR_NAMES


def test_the_wheel_brings_the_pages_of_the_console(wheel: frozenset[str]) -> None:
    """Templates, style and script."""
    kinds = {".html", ".css", ".js", ".svg"}
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / "console").rglob("*") if path.suffix in kinds}
    assert wanted
    assert wanted <= wheel


def test_the_wheel_brings_every_sql_file(wheel: frozenset[str]) -> None:
    """Migrations, their rollback, and the queries of each module."""
    wanted = {str(path.relative_to(ROOT)) for name in OUR_NAMES for path in (ROOT / name).rglob("*.sql")}
    assert wanted <= wheel
    assert {f"sluice/migrations/{path.relative_to(CORE_FOLDER)}" for path in CORE_FOLDER.rglob("*.sql")} <= wheel
