"""Where PostgreSQL's files go when we are root and its user cannot reach the project."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from devstack import home
from devstack.postgres import PostgresServer
from tests.devstack.folders import reachable_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand PostgreSQL to another user")


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder below one that only root may enter, as /root is; what moved elsewhere is removed afterwards."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / "postgres"
    folder.mkdir()
    yield folder
    record = folder / "moved-to"
    if record.exists():
        shutil.rmtree(record.read_text().strip(), ignore_errors=True)


async def test_data_and_programs_go_where_the_user_can_reach_them(
    closed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project under /root runs all the same: data and programs live elsewhere, and the folder says where."""
    programs = home.installed_programs()
    package = programs.parent
    hidden = closed_folder.parent / "site-packages"
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, hidden / source.name, ignore=shutil.ignore_patterns("include", "pginstall"))
    monkeypatch.setattr(home, "installed_programs", lambda: hidden / package.name / programs.name)
    server = await PostgresServer.start(closed_folder)
    try:
        place = Path((closed_folder / "moved-to").read_text().strip())
        assert server.home.data == place / "data"
        assert str(place) in (server.home.moved or "")
        connection = await asyncpg.connect(server.url(), timeout=10)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close(timeout=5)
    finally:
        await server.stop()
    assert home.find_home(closed_folder).data == server.home.data
    assert stat.S_IMODE(closed_folder.parent.stat().st_mode) == 0o700


async def test_a_record_that_names_another_users_folder_is_not_believed(closed_folder: Path) -> None:
    """A place that is not ours, or gone, is replaced by a new one."""
    with reachable_folder() as foreign:
        os.chown(foreign, 12345, 12345)
        (closed_folder / "moved-to").write_text(f"{foreign}\n")
        assert home.find_home(closed_folder).data.parent != foreign


def test_a_reachable_folder_keeps_its_data() -> None:
    """Nothing is moved without need, and no mode or owner changes."""
    with reachable_folder() as folder:
        before = folder.stat()
        found = home.find_home(folder)
        assert found.data == folder / "data"
        assert found.moved is None
        assert found.identity is not None
        assert found.identity.uid != 0
        assert (folder.stat().st_mode, folder.stat().st_uid) == (before.st_mode, before.st_uid)
        assert list(folder.iterdir()) == []
