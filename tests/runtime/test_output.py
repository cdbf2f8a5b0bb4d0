"""A thread writes to stdout and stderr: callers never wait, nothing is raised, and lines keep their order."""

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from sluice.runtime.output import LineStream, LineWriter
from tests.waiting import until

LINE = "x" * 99 + "\n"

PROGRAM = """
import gc, os, sys, threading, warnings
from sluice.runtime import logs
from sluice.runtime import output

output.protect("test")
logs.configure("test", "info")
{work}
"""


@dataclass
class Pipe:
    """A pipe that holds little, and a writer into it."""

    reader: IO[bytes]
    write_fd: int
    writer: LineWriter = field(init=False)

    def __post_init__(self) -> None:
        self.writer = LineWriter(self.write_fd, "test", waiting_characters=100_000)

    def lines(self, count: int) -> list[str]:
        """The next lines."""
        return [self.reader.readline().decode() for _ in range(count)]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe that is not read yet."""
    read_fd, write_fd = os.pipe()
    with os.fdopen(read_fd, "rb") as reader:
        yield Pipe(reader, write_fd)
    os.close(write_fd)


def _fill(write_fd: int) -> int:
    """Leave no room in a pipe; how many bytes it holds."""
    os.set_blocking(write_fd, False)
    size = 0
    try:
        while True:
            size += os.write(write_fd, b"\n")
    except BlockingIOError:
        os.set_blocking(write_fd, True)
    return size


def test_lines_of_many_threads_are_whole_and_each_threads_own_are_in_order(pipe: Pipe) -> None:
    """Texts that are no lines wait for their end, apart from those of other threads."""
    stream = LineStream(pipe.writer, pipe.write_fd)

    def talk(name: int) -> None:
        for number in range(200):
            for part in (f"{name} ", str(number), "\n"):
                stream.write(part)

    threads = [threading.Thread(target=talk, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    told = [line.split() for line in pipe.lines(800)]
    for thread in threads:
        thread.join()
    for name in range(4):
        assert [int(number) for who, number in told if who == str(name)] == list(range(200))


async def test_a_reader_that_reads_nothing_costs_lines_and_no_time(pipe: Pipe) -> None:
    """Past the bound lines are dropped and counted; when it reads again, the log says how many are missing."""
    held = _fill(pipe.write_fd)
    for _ in range(3_000):
        pipe.writer.write(LINE)
    assert 0 < pipe.writer.dropped < 3_000
    assert pipe.writer.is_losing
    pipe.lines(held)
    written = told = 0
    while written + told < 3_000:
        (line,) = pipe.lines(1)
        written += line == LINE
        told += 0 if line == LINE else json.loads(line)["lines"]
    assert told == pipe.writer.dropped
    await until(lambda: not pipe.writer.is_losing, what="all is said")


async def test_a_reader_that_is_gone_is_noticed_and_a_new_one_is_told(tmp_path: Path) -> None:
    """EPIPE: dropped, counted; and once it is read again, with no line of ours needed, the loss is logged."""
    path = tmp_path / "log"
    os.mkfifo(path)
    read_fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_fd = os.open(path, os.O_WRONLY)
    os.close(read_fd)
    writer = LineWriter(write_fd, "test")
    writer.write(LINE)
    await until(lambda: writer.dropped == 1)
    assert writer.is_losing
    with os.fdopen(os.open(path, os.O_RDONLY), "rb") as reader:
        assert json.loads(reader.readline())["lines"] == 1
        await until(lambda: not writer.is_losing)
    os.close(write_fd)


async def test_after_half_a_line_the_next_begins_on_its_own(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    """A disk that fills in the middle of a line; what comes later can be read."""
    real_write, calls = os.write, iter([10])

    def write(fd: int, data: memoryview) -> int:
        if fd != pipe.write_fd:
            return real_write(fd, data)
        if (size := next(calls, None)) is not None:
            return real_write(fd, data[:size])
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    pipe.writer.write(LINE)
    await until(lambda: pipe.writer.dropped == 1)
    half, notice = pipe.lines(2)
    assert half == LINE[:10] + "\n"
    assert json.loads(notice)["lines"] == 1


def test_a_thread_that_logs_in_the_middle_of_its_own_line_does_not_wait_for_itself(pipe: Pipe) -> None:
    """As a finalizer may, or a signal's handler, at any point."""

    class Interrupted(str):
        __slots__ = ()

        def __len__(self) -> int:
            pipe.writer.write("inner\n")
            return super().__len__()

    thread = threading.Thread(target=pipe.writer.write, args=(Interrupted("outer\n"),), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert "outer\n" in pipe.lines(3)


def _run(work: str, *, stderr: int = subprocess.PIPE) -> "subprocess.CompletedProcess[str]":
    program = PROGRAM.format(work=work)
    return subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=30, check=False
    )


def test_the_last_lines_are_written_before_the_process_ends() -> None:
    """Also those of a burst, and the traceback of what ended it."""
    done = _run("for n in range(5000): logs.get_logger().info('line', n=n)\nraise LookupError('the end')")
    lines = done.stderr.splitlines()
    assert [json.loads(line)["n"] for line in lines[:5000]] == list(range(5000))
    assert (lines[-1], done.returncode) == ("LookupError: the end", 1)


def test_a_forked_child_writes_its_own_lines_and_not_its_parents() -> None:
    """Neither is lost, neither is there twice, and no thread waits for a lock that a thread of the parent held."""
    done = _run(
        "for n in range(100): print('parent', n, file=sys.stderr)\n"
        "if not (child := os.fork()):\n"
        "    print('child', file=sys.stderr)\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)"
    )
    assert sorted(done.stderr.splitlines()) == sorted([*(f"parent {n}" for n in range(100)), "child"])


def test_a_finalizer_that_logs_while_its_thread_logs_stops_nothing() -> None:
    """A garbage collection comes at any moment, also inside the writer."""
    done = _run(
        "class Loud:\n"
        "    def __init__(self): self.me = self\n"
        "    def __del__(self): print('gone', file=sys.stderr)\n"
        "gc.set_threshold(1)\n"
        "for n in range(2000): Loud(); logs.get_logger().info('line')\n"
        "gc.collect()"
    )
    assert done.returncode == 0
    assert done.stderr.count("gone") == 2000


def test_whatever_speaks_goes_the_same_way() -> None:
    """Warnings, print, libraries, tracebacks of threads: to a full device none of them breaks anything."""
    with Path("/dev/full").open("wb") as full:
        done = _run(
            "import logging\n"
            "warnings.warn('odd')\n"
            "print('hello', file=sys.stderr)\n"
            "logging.getLogger('x').error('no %d', 'number')\n"
            "logging.getLogger('x').error('yes')\n"
            "threading.Thread(target=lambda: 1 / 0).start()\n"
            "logs.get_logger().info('x')\n"
            "print('done')",
            stderr=full.fileno(),
        )
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_a_line_that_cannot_be_made_is_said_and_raises_nothing() -> None:
    """A value whose text breaks, a message whose arguments do not fit: the work goes on."""
    done = _run(
        "import logging\n"
        "class Bad:\n"
        "    def __str__(self): raise ValueError('whsec_abc123')\n"
        "logs.get_logger().info('first', value=Bad())\n"
        "logging.getLogger('x').error('second %d', 'number')\n"
        "logs.get_logger().info('third', big=2**70)"
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["of"]) for line in lines[:2]] == [
        ("log_line_broke", "first"),
        ("log_line_broke", "second %d"),
    ]
    assert len(lines) == 3
    assert "whsec_abc123" not in done.stderr
