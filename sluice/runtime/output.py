"""
A service's stdout and stderr: writing to them never waits and never raises, whatever became of the other end.

Lines wait in memory for a thread that writes them. A line that finds no room there, or cannot be written (a full disk,
a reader that is gone), is dropped and counted. The log says how many, as soon as it can be written again.
"""

import atexit
import contextlib
import io
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO, cast

import orjson

from sluice.runtime import metrics

_WAITING_CHARACTERS = 4 * 1024 * 1024
_PIECE_BYTES = 64 * 1024
_REST_SECONDS = 1.0
_STALLED_SECONDS = 5.0
_FAREWELL_SECONDS = 1.0
_TOGETHER_SECONDS = 0.002  # each time that the thread wakes costs the event loop a little: let lines gather
_NO_FILE = -1


class LineWriter:
    """
    Writes whole lines to a file descriptor in their order, from a thread of its own.

    Memory holds the lines that wait, at most ``waiting_characters``, and at most as many that are being written. A
    garbage collection or a signal may make a thread write in the middle of its own ``write``; so each lock here may be
    taken twice, or is only tried.
    """

    def __init__(self, fd: int, service: str, *, waiting_characters: int = _WAITING_CHARACTERS) -> None:
        self._fd = fd
        self._service = service
        self._room = waiting_characters
        self.dropped = 0
        self._said = 0
        self._is_torn = False
        self._is_closed = False
        self.forget()

    def forget(self) -> None:
        """Begin anew in a forked child: what waits is the parent's to write, and its thread was not forked."""
        self._lock = threading.RLock()
        self._wake = threading.Lock()
        self._closing = threading.Event()
        self._waiting: deque[str] = deque()
        self._held = 0
        self._thread: threading.Thread | None = None
        self._writing_since: float | None = None

    @property
    def is_losing(self) -> bool:
        """Lines were dropped and the log does not say so yet, or the log was not read for five seconds."""
        since = self._writing_since
        is_stalled = since is not None and time.monotonic() - since > _STALLED_SECONDS
        return is_stalled or self.dropped > self._said

    def write(self, lines: str) -> None:
        """Write these soon; drop and count them where too much waits."""
        with self._lock:
            if self._is_running() and self._held + len(lines) <= self._room:
                self._waiting.append(lines)
                self._held += len(lines)
            else:
                self.dropped += lines.count("\n")
        if self._wake.locked():
            with contextlib.suppress(RuntimeError):  # another thread woke the writer in between
                self._wake.release()

    def close(self, *, within_seconds: float = _FAREWELL_SECONDS) -> None:
        """Wait until everything is written, or for so long; what is written later is dropped."""
        ends_at = time.monotonic() + within_seconds
        self._closing.set()
        while (self._waiting or self._writing_since is not None) and time.monotonic() < ends_at:
            time.sleep(_TOGETHER_SECONDS)
        self._is_closed = True

    def _is_running(self) -> bool:
        if self._thread is None and not self._is_closed:
            self._thread = threading.Thread(target=self._run, name=f"output {self._fd}", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no thread to be had: a limit of the container's, or the interpreter ends
                self._thread = None
        return self._thread is not None and not self._is_closed

    def _run(self) -> None:
        while not self._is_closed:
            self._wake.acquire(timeout=_REST_SECONDS if self.dropped > self._said else -1)
            time.sleep(_TOGETHER_SECONDS)
            with self._lock:
                waiting, self._waiting = self._waiting, deque()
                self._held = 0
                self._writing_since = time.monotonic()
                dropped = self.dropped
            try:
                self._put("".join(waiting), dropped - self._said)
                self._said = dropped
            except Exception:  # noqa: BLE001  whatever it is, the next lines deserve another try
                self._writing_since = None
                self._closing.wait(_REST_SECONDS)
            self._writing_since = None

    def _put(self, lines: str, unsaid: int) -> None:
        """Write these lines behind one that tells of those that were dropped before."""
        head = ("\n" if self._is_torn else "") + (self._notice(unsaid) if unsaid else "")
        left = memoryview((head + lines).encode("utf-8", "backslashreplace"))
        try:
            while left:
                left = left[self._write_piece(left[:_PIECE_BYTES]) :]
        except BaseException:
            with self._lock:
                self.dropped += min(bytes(left).count(b"\n"), lines.count("\n"))
            raise

    def _write_piece(self, piece: memoryview) -> int:
        try:
            written = os.write(self._fd, piece)
        except BlockingIOError:  # who shares the file with us has made it non-blocking
            select.select([], [self._fd], [], _REST_SECONDS)
            return 0
        self._is_torn = piece[written - 1] != ord("\n")
        self._writing_since = time.monotonic()
        return written

    def _notice(self, lines: int) -> str:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        said = {"service": self._service, "event": "log_lines_dropped", "lines": lines, "level": "error"}
        return orjson.dumps({**said, "timestamp": now}).decode() + "\n"


class LineStream(io.TextIOBase):
    """Stands as ``sys.stdout`` or ``sys.stderr`` and hands whole lines to a ``LineWriter``."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, writer: LineWriter, fd: int) -> None:
        self._writer = writer
        self._fd = fd
        self._begun: dict[int, str] = {}

    def write(self, text: str) -> int:
        """Take a text; a line that has no end yet waits for it, apart from those of other threads."""
        thread = threading.get_ident()
        whole = self._begun.pop(thread, "") + text if self._begun else text
        if whole.endswith("\n"):
            self._writer.write(whole)
            return len(text)
        lines, end, begun = whole.rpartition("\n")
        if lines or end:
            self._writer.write(lines + end)
        if len(begun) > _PIECE_BYTES:
            self._writer.write(f"{begun}\n")
        elif begun:
            self._begun[thread] = begun
        return len(text)

    def flush(self) -> None:
        """End the line that this thread has begun."""
        if self._begun and (begun := self._begun.pop(threading.get_ident(), "")):
            self._writer.write(f"{begun}\n")

    def writable(self) -> bool:
        """Text may be written."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, for a child process or ``faulthandler``, which write to it themselves."""
        return self._fd

    def isatty(self) -> bool:
        """Whether a person looks on."""
        return os.isatty(self._fd)


_WRITERS: list[LineWriter] = []


def protect(service: str) -> None:
    """Put both streams of this process behind writers, until it ends; only the first call has an effect."""
    if _WRITERS:
        return
    _keep_off_the_streams()
    for name, fd in (("stdout", 1), ("stderr", 2)):
        writer = LineWriter(_NO_FILE if getattr(sys, name) is None else fd, service)
        setattr(sys, name, cast("TextIO", LineStream(writer, fd)))
        atexit.register(writer.close)
        _WRITERS.append(writer)


def end_process(code: int) -> None:
    """End this process at once, but for the last lines."""
    for writer in _WRITERS:
        writer.close()
    os._exit(code)


def status() -> Mapping[str, int | bool]:
    """Both streams' lines for ``/status``: how many were dropped, and whether some are being lost now."""
    return {"dropped": _dropped(), "losing": any(writer.is_losing for writer in _WRITERS)}


def _dropped() -> int:
    return sum(writer.dropped for writer in _WRITERS)


def _keep_off_the_streams() -> None:
    """Where the process was started without 0, 1 or 2, the next socket would get that number, and be written to."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one


def _forget_all() -> None:
    for writer in _WRITERS:
        writer.forget()


metrics.counted("log_lines_dropped_total", "Lines of stdout and stderr that could not be written.", _dropped)
os.register_at_fork(after_in_child=_forget_all)
