"""A server that runs as our child; what PostgreSQL and NATS have in common."""

import asyncio
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from devstack.child import Child
from devstack.problems import StackProblem


class Server(ABC):
    """One server. ``kill`` and ``restart`` are for those who test what happens then."""

    name: ClassVar[str]
    """What people call it."""
    stopped_by: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path, log: Path, port: int) -> None:
        self.folder = folder
        self.log = log
        self.port = port
        self.is_wanted = True
        self._child: Child | None = None
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._running().exit_code

    async def stop(self, *, within_seconds: float = 8) -> None:
        """End it, keeping its data; past its time it is killed, and recovers at the next start."""
        self.is_wanted = False
        if self._child is not None:
            await self._child.stop(by=self.stopped_by, within_seconds=within_seconds)

    def kill(self) -> None:
        """SIGKILL it, as a fault would; a stack starts it again unless ``stop`` follows."""
        self._running().kill()

    async def restart(self) -> None:
        """Start again on the same port and data, stopping it first where it still runs."""
        async with self._turn:
            await self.stop()
            await self._end_leftovers()
            await self._launch()
            self.is_wanted = True

    def _running(self) -> Child:
        if self._child is None:
            raise StackProblem(f"{self.name} was not started.")
        return self._child

    @abstractmethod
    async def _end_leftovers(self) -> None:
        """End what a killed run left behind."""

    @abstractmethod
    async def _launch(self) -> None:
        """Start the process and wait until it is ready; raises StackProblem."""
