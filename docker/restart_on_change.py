# ruff: noqa: INP001  a script of the image, no package
"""
Runs a command, and again whenever a file below the folder changes or the command ends: PID 1 of the ``dev`` image.

``python restart_on_change.py FOLDER COMMAND…``. For Tilt's live update alone: it hands SIGTERM on, but a service that
ships is PID 1 itself.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

LOOK_SECONDS = 0.5
REST_SECONDS = 2.0
END_SECONDS = 10.0


class Restarter:
    """One command at a time, from a folder of sources."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self._folder = folder
        self._command = command
        self._is_stopping = False

    def run(self) -> int:
        """Keep the command running until SIGTERM or SIGINT; its exit code is ours."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while True:
            code = self._run_once()
            if self._is_stopping:
                return code

    def _run_once(self) -> int:
        seen = stamps(self._folder)
        child = subprocess.Popen(self._command)  # noqa: S603  the caller's own command
        while child.poll() is None and not self._is_stopping and stamps(self._folder) == seen:
            time.sleep(LOOK_SECONDS)
        if child.poll() is not None and not self._is_stopping:
            self._wait_for_change(seen)
        return end(child)

    def _wait_for_change(self, seen: Mapping[Path, int]) -> None:
        """A command that ended by itself is tried again soon, at once after a change."""
        until = time.monotonic() + REST_SECONDS
        while time.monotonic() < until and not self._is_stopping and stamps(self._folder) == seen:
            time.sleep(LOOK_SECONDS)

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._is_stopping = True


def stamps(folder: Path) -> dict[Path, int]:
    """When each source was changed last."""
    found = {}
    for path in (*folder.rglob("*.py"), *folder.rglob("*.sql")):
        try:
            found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:  # replaced at this moment; the next look sees it
            continue
    return found


def end(child: subprocess.Popen[bytes]) -> int:
    """SIGTERM, then SIGKILL; the exit code."""
    if child.poll() is None:
        child.terminate()
    try:
        return child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


if __name__ == "__main__":
    sys.exit(Restarter(Path(sys.argv[1]), sys.argv[2:]).run())
