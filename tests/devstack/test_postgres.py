"""The embedded PostgreSQL: where it runs, what it survives, what it says when it cannot start."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from devstack import postgres
from devstack.home import find_home
from devstack.postgres import PostgresServer, end_leftovers
from devstack.problems import StackProblem, explain
from tests.devstack.folders import reachable_folder
from tests.devstack.processes import has_ended
from tests.waiting import until

SUPERVISOR = """
import asyncio, pathlib, sys
from devstack.postgres import PostgresServer
async def main():
    server = await PostgresServer.start(pathlib.Path(sys.argv[1]))
    print(server.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can reach."""
    with reachable_folder() as folder:
        yield folder


async def _ask(server: PostgresServer, question: str) -> str:
    connection = await asyncpg.connect(server.url(), timeout=10)
    try:
        return str(await connection.fetchval(question, timeout=10))
    finally:
        await connection.close(timeout=5)


async def test_what_was_committed_is_there_after_a_kill_and_a_restart(folder: Path) -> None:
    """A SIGKILL of the postmaster loses nothing, and the port stays the same."""
    server = await PostgresServer.start(folder)
    try:
        connection = await asyncpg.connect(server.url(), timeout=10)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        url = server.url()
        server.kill()
        await server.restart()
        connection.terminate()
        assert server.url() == url
        assert await _ask(server, "SELECT answer FROM kept") == "42"
    finally:
        await server.stop()


async def test_it_is_durable_and_private(folder: Path) -> None:
    """Every durability switch is on, and no other machine can connect."""
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
    }
    server = await PostgresServer.start(folder)
    try:
        assert {name: await _ask(server, f"SHOW {name}") for name in expected} == expected
    finally:
        await server.stop()


async def test_a_wrong_password_is_refused(postgres_server: PostgresServer) -> None:
    """The loopback alone is no proof of who one is."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_server.url().replace(postgres_server.password("postgres"), "guess"), timeout=10)


async def test_its_passwords_are_readable_by_us_alone(postgres_server: PostgresServer) -> None:
    """Only our user may read the generated passwords and the data."""
    passwords = postgres_server.folder / "passwords.json"
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    assert stat.S_IMODE(postgres_server.home.data.stat().st_mode) == 0o700
    in_arguments = psutil.Process(postgres_server.pid).cmdline()
    assert not any(password in part for password in json.loads(passwords.read_text()).values() for part in in_arguments)


async def test_a_killed_supervisor_takes_its_server_along_and_a_new_one_starts(folder: Path) -> None:
    """After a SIGKILL of the supervisor the next one starts on the same data."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    supervisor = subprocess.Popen(  # noqa: ASYNC220 - it is killed a moment later
        [sys.executable, "-c", SUPERVISOR, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert supervisor.stdout is not None
    with supervisor, supervisor.stdout:
        pid = int(supervisor.stdout.readline())
        supervisor.send_signal(signal.SIGKILL)
    if sys.platform == "linux":
        await until(lambda: has_ended(pid))
    server = await PostgresServer.start(folder)
    try:
        assert has_ended(pid)
        assert await _ask(server, "SELECT 1") == "1"
    finally:
        await server.stop()


async def test_a_server_left_running_is_ended_before_the_next(folder: Path) -> None:
    """Where the kernel did not end it for us, the leftover is found by its data folder and ended."""
    left = await PostgresServer.start(folder)
    pid = left.pid
    found = [process.pid for process in postgres._processes_in(left.home.data)]
    assert pid in found
    ending = asyncio.create_task(end_leftovers(left.home.data))
    await until(lambda: left.exit_code is not None)  # as its parent we reap it
    await ending
    assert has_ended(pid)
    assert postgres._processes_in(left.home.data) == []


async def test_a_broken_locale_does_not_matter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell's locale may name one that does not exist."""
    for name in ("LC_ALL", "LANG", "LC_COLLATE", "LC_MESSAGES"):
        monkeypatch.setenv(name, "xx_YY.broken")
    monkeypatch.setenv("PGPORT", "1")
    server = await PostgresServer.start(folder)
    try:
        assert await _ask(server, "SELECT datcollate FROM pg_database WHERE datname = 'sluice'") == "C"
    finally:
        await server.stop()


async def test_a_port_taken_meanwhile_is_exchanged_for_a_free_one(folder: Path) -> None:
    """Another process may take the port between our choice and PostgreSQL's bind."""
    taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    async with taken:
        server = await PostgresServer.start(folder, port)
        try:
            assert server.port != port
            assert await _ask(server, "SELECT 1") == "1"
        finally:
            await server.stop()


async def test_data_of_another_version_is_left_alone_and_named(folder: Path) -> None:
    """Data of PostgreSQL 15 is neither used nor touched, and the sentence says what to do."""
    data = find_home(folder).data
    data.mkdir()
    (data / "PG_VERSION").write_text("15\n")
    with pytest.raises(StackProblem, match=r"is of PostgreSQL 15 and this is PostgreSQL \d+: move that folder away"):
        await PostgresServer.start(folder)
    assert (data / "PG_VERSION").read_text() == "15\n"


async def test_a_start_that_was_interrupted_leaves_no_half_of_a_data_folder(folder: Path) -> None:
    """A half-made folder of an interrupted initdb is thrown away, and the next start makes it whole."""
    half = find_home(folder).data.with_name("data.new")
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = await PostgresServer.start(folder)
    try:
        assert not half.exists()
        assert await _ask(server, "SELECT 1") == "1"
    finally:
        await server.stop()


def test_a_full_disk_gets_one_sentence_with_its_fix() -> None:
    """PostgreSQL's message about a full disk becomes one that says what to do."""
    said = 'PANIC:  could not write to file "pg_wal/xlogtemp.1": No space left on device'
    assert str(explain("PostgreSQL", "/here", said)) == (
        "The disk is full: free some space (the data is under /here) and start again."
    )


def test_an_unknown_complaint_shows_the_last_lines() -> None:
    """The reason is in the message, without a search in the log."""
    assert "FATAL:  something new" in str(explain("PostgreSQL", "/here", "FATAL:  something new\n"))
