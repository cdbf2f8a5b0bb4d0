"""
A process that we started, and the record by which a later run finds it if we could not end it.

A record holds the pid together with the moment of that process's birth, so a pid that was given away again is never
mistaken for our child. On Linux a child is also signalled by the kernel when its parent dies.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from devstack.files import read_or_none, write_private

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Identity:
    """The user a child runs as, when that is not ours."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """A program to run: least environment, output appended to ``log``, ``record`` names it to later runs."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    record: Path | None = None
    identity: Identity | None = None
    folder: Path | None = None
    orphan_signal: signal.Signals = field(default=signal.SIGTERM)


class Child:
    """One running (or ended) process of ours."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes]) -> None:
        self.command = command
        self._process = process
        self.started_at = time.monotonic()

    @classmethod
    def spawn(cls, command: Command) -> "Child":
        """Start it in a session of its own, so that a Ctrl-C at the keyboard reaches us alone. Raises OSError."""
        identity = command.identity
        with command.log.open("ab") as log, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork among threads: only prctl runs in the child
            process = subprocess.Popen(
                list(command.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(command.env),
                cwd=command.folder,
                start_new_session=True,
                user=identity.uid if identity else None,
                group=identity.gid if identity else None,
                extra_groups=[] if identity else None,
                umask=0o077,
                preexec_fn=_ask_for_signal(command.orphan_signal),  # noqa: PLW1509 - it takes no lock
            )
        child = cls(command, process)
        if command.record is not None:
            _write_record(command.record, process.pid)
        return child

    @property
    def name(self) -> str:
        """The program's name for people."""
        return self.command.name

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by that signal), or None while it runs."""
        return self._process.poll()

    async def wait(self, *, within_seconds: float, look_seconds: float = _POLL_SECONDS) -> int | None:
        """How it ended, or None when it still runs after that time."""
        deadline = time.monotonic() + within_seconds
        while (code := self.exit_code) is None and time.monotonic() < deadline:
            await asyncio.sleep(look_seconds)
        return code

    async def stop(self, *, by: signal.Signals = signal.SIGTERM, within_seconds: float = 8) -> int:
        """Ask it to end, insist when it has not done so in time; the exit code."""
        self.send(by)
        code = await self.wait(within_seconds=within_seconds)
        if code is None:
            self.kill()
            code = await asyncio.to_thread(self._process.wait, 5)
        self._forget()
        return code

    def kill(self) -> None:
        """SIGKILL, as a fault would."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        self._process.send_signal(number)

    def _forget(self) -> None:
        if self.command.record is not None:
            self.command.record.unlink(missing_ok=True)


def _ask_for_signal(number: signal.Signals) -> Callable[[], None] | None:
    if _LIBC is None:
        return None
    prctl, parent = _LIBC.prctl, os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died in the moment before we asked
            os._exit(1)

    return ask


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel signal *us* when our own parent dies; nothing where the kernel offers no such thing."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def _write_record(record: Path, pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        write_private(record, json.dumps({"pid": pid, "born": psutil.Process(pid).create_time()}))


def recorded_process(record: Path) -> psutil.Process | None:
    """The process that an earlier run left behind under this record, if it is still the same one."""
    text = read_or_none(record)
    if text is None:
        return None
    try:
        entry = json.loads(text)
        process = psutil.Process(int(entry["pid"]))
        same = (
            abs(process.create_time() - float(entry["born"])) < 1
        )  # the boot time that it counts from may be adjusted
    except (psutil.Error, ValueError, KeyError, TypeError):
        return None
    return process if same and process.status() != psutil.STATUS_ZOMBIE else None


async def end_leftover(
    process: psutil.Process, *, by: signal.Signals = signal.SIGTERM, within_seconds: float = 10
) -> None:
    """End a process of an earlier run: politely, then with SIGKILL."""
    for number in (by, signal.SIGKILL):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        if await _has_gone(process, within_seconds):
            return


async def _has_gone(process: psutil.Process, within_seconds: float) -> bool:
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False
