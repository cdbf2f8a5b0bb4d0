"""`make run` as a person meets it: a process with an output, signals, and a folder that stays."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from dotenv import dotenv_values

from devstack.folder import StackFolder
from tests.devstack.folders import reachable_folder
from tests.devstack.processes import has_ended

ROOT = Path(__file__).resolve().parents[2]
UP = re.compile(r"Sluice is up at (\S+) after")
START_SECONDS = 60.0


class Run:
    """One `python -m devstack` and all that it has said so far."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.output = ""
        self._grew = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "devstack", "--folder", str(folder), "--env-file", str(folder / ".env")],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PORT": "0", "DEMO": "0", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._grew:
                self.output += line
                self._grew.notify_all()

    def wait_for(self, pattern: re.Pattern[str], *, within_seconds: float = START_SECONDS) -> str:
        """The first group of the pattern, once it was said."""
        deadline = time.monotonic() + within_seconds
        with self._grew:
            while (found := pattern.search(self.output)) is None:
                ended = self.process.poll() is not None and not self._reader.is_alive()
                assert not ended and time.monotonic() < deadline, self.output  # noqa: PT018
                self._grew.wait(0.2)
        return found[1]

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, float]:
        """Its exit code, and the seconds it took to end."""
        began_at = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._reader.join(5)
        return code, time.monotonic() - began_at

    def close(self) -> None:
        """End it however it stands."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
        self.process.kill()
        self.process.wait(5)
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextlib.contextmanager
def running(folder: Path, **environ: str) -> Iterator[Run]:
    """A run that is ended in any case."""
    run = Run(folder, **environ)
    try:
        yield run
    finally:
        run.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """The run's folder, where .local would be."""
    with reachable_folder() as folder:
        yield folder


def _family(run: Run) -> list[int]:
    return [child.pid for child in psutil.Process(run.process.pid).children(recursive=True)]


def test_it_ends_cleanly_and_finds_its_data_again_even_after_a_kill(folder: Path) -> None:
    """Ctrl-C ends everything within ten seconds; the next run is served within ten; a killed one is no obstacle."""
    with running(folder) as first:
        first.wait_for(UP)
        told, family = dotenv_values(folder / "stack.env"), _family(first)
        assert len(family) >= 5
        code, took_seconds = first.end(signal.SIGINT)
        assert (code, took_seconds < 10) == (0, True), first.output
        assert all(has_ended(pid) for pid in family)
        assert not (folder / "stack.env").exists()
    began_at = time.monotonic()
    with running(folder) as second:
        second.wait_for(UP)
        assert time.monotonic() - began_at < 10
        assert dotenv_values(folder / "stack.env")["STRIPE_WEBHOOK_SECRET"] == told["STRIPE_WEBHOOK_SECRET"]
        family = _family(second)
        second.process.kill()
        second.process.wait(5)
    with running(folder) as third:
        third.wait_for(UP)
        assert all(has_ended(pid) for pid in family)
        assert third.end(signal.SIGTERM)[0] == 0


def test_the_day_shows_that_what_no_webhook_brought_was_found(folder: Path) -> None:
    """Each trouble has its line: all that was missing is found and has taken effect; 80 columns hold both tables."""
    with running(folder, DEMO="1") as run:
        run.wait_for(UP)
        run.wait_for(re.compile(r"(sent as thin event .*)"))
        told = run.output[run.output.index("What became of each scenario") :]
        told = told[: told.index("\n", told.index("sent as thin event"))]
        lines = {line.split("  ")[0].strip(): line for line in told.splitlines()}
        for trouble in ("never delivered", "sent while ingest was away", "endpoint disabled", "sent as thin event"):
            assert re.search(r"reconciler's (list|fetch) \d+ .* (\d+) of \2 +ok$", lines[trouble].rstrip()), told
        assert " NO" not in told
        assert max(len(line.rstrip()) for line in told.splitlines()) <= 80, told
        assert run.end()[0] == 0


def test_a_second_run_in_the_same_folder_says_so_and_stops(folder: Path) -> None:
    """Two supervisors would fight over one data folder."""
    used = StackFolder(folder)
    used.prepare()
    with used.alone(), running(folder) as second:
        assert second.process.wait(20) == 1
        second.wait_for(re.compile(r"(Another run is using)"))
        assert "Traceback" not in second.output
        assert not used.postgres.exists()


def test_ctrl_c_while_starting_ends_it_cleanly(folder: Path) -> None:
    """A start that is no longer wanted ends at once."""
    with running(folder) as run:
        run.wait_for(re.compile(r"(Starting ingest)"))
        family = _family(run)
        code, took_seconds = run.end()
        assert (code, took_seconds < 10) == (0, True), run.output
        assert all(has_ended(pid) for pid in family)


def test_a_taken_port_is_told_before_anything_starts(folder: Path) -> None:
    """One sentence with the fix, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(folder, PORT=str(port)) as run:
            assert run.process.wait(20) == 1
            run.wait_for(re.compile(rf"(Port {port} is taken)"))
            assert "Traceback" not in run.output
            assert not (folder / "postgres").exists()


def test_external_servers_are_named_and_left_alone_unless_asked(
    folder: Path, empty_database_url: str, nats_url: str
) -> None:
    """EXTERNAL=1 prints the hosts without a password and writes nothing; MIGRATE=1 besides makes the tables."""
    address = {"EXTERNAL": "1", "DATABASE_URL": empty_database_url, "NATS_URL": nats_url}
    with running(folder, **address) as refused:
        assert refused.process.wait(30) == 1
        refused.wait_for(re.compile(r"(MIGRATE=1 besides EXTERNAL=1)"))
    with running(folder, **address, MIGRATE="1") as run:
        run.wait_for(UP)
        assert re.search(r"PostgreSQL at 127\.0\.0\.1:\d+, NATS at 127\.0\.0\.1:\d+\.", run.output)
        assert dotenv_values(folder / "stack.env")["DATABASE_URL"] == empty_database_url
        assert len(_family(run)) == 4
        assert run.end()[0] == 0
        passwords = [urlsplit(url).password for url in (empty_database_url, nats_url)]
        assert not any(str(password) in run.output for password in passwords)
    assert not (folder / "postgres").exists()
