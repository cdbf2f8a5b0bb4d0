"""The screen: steps with a spinner, messages, one status line; plain lines where there is no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, RenderableType
from rich.status import Status
from rich.text import Text

PLAIN_STATUS_SECONDS = 10.0


class Output(Protocol):
    """How a stack tells what it does."""

    def say(self, message: str) -> None:
        """Tell one thing."""
        ...

    def step(self, message: str) -> None:
        """Tell what is being waited for now."""
        ...


class NoOutput:
    """For tests."""

    def say(self, message: str) -> None:
        """Say nothing."""

    def step(self, message: str) -> None:
        """Say nothing."""


class Screen:
    """The terminal, or whatever stands where one would be."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._status: Status | None = None
        self._last_line = ""
        self._next_line_at = 0.0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Show the bottom line while inside."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status("") as self._status:
            yield
        self._status = None

    def say(self, message: str) -> None:
        """Print a message for good."""
        self.show(Text(message))

    def show(self, thing: RenderableType) -> None:
        """Print a table, or anything that rich can draw."""
        self._console.print(thing, soft_wrap=isinstance(thing, Text))

    def step(self, message: str) -> None:
        """Say in the bottom line what is being waited for; a line of its own where there is no terminal."""
        if self._status is not None:
            self._status.update(Text(message))
        elif message:
            self.say(message)

    def progress(self, line: str) -> None:
        """Say in the bottom line how far a step has come; nothing without a terminal."""
        if self._status is not None:
            self._status.update(Text(line))

    def status(self, line: str) -> None:
        """Keep the bottom line up to date; without a terminal, print it when it changed, and not too often."""
        if self._status is not None:
            self._status.update(Text(line))
        elif line != self._last_line and self._clock() >= self._next_line_at:
            self.say(line)
            self._last_line, self._next_line_at = line, self._clock() + PLAIN_STATUS_SECONDS
