"""Look for what operators ask of the handlers, and have a process of its own carry it out."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from processor.operations.process import SEAT_TAKEN
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.sql import columns, load_queries
from sluice.registry import Registry
from sluice.runtime.backoff import Backoff, jitter
from sluice.runtime.endless import turn
from sluice.runtime.logs import get_logger

QUERIES = load_queries(__file__, "supervisor.sql")
log = get_logger()
COMMAND: Final = (sys.executable, "-m", "processor.operations")
LOOK_SECONDS: Final = 1.0
"""How often to look; one statement that reads two small indexes."""
_START_SECONDS: Final = 30.0
"""How long a process may take until its first sign of life: it imports every handler."""
_SAY_AGAIN_SECONDS: Final = 3600.0
_AFTER_DEATH = Backoff(1, 30, spread=jitter(0.5))
_END_SECONDS: Final = 5.0


@dataclass
class Supervisor:
    """Looks now and then; what it starts, it watches, and ends where it hangs."""

    database: Database
    registry: Registry
    stop: asyncio.Event
    silent_seconds: float = 15
    """How long a process may give no sign of life before it is ended."""
    command: Sequence[str] = COMMAND
    _said_at: float = float("-inf")
    _deaths: int = 0
    _is_told: bool = False

    async def run(self) -> None:
        """Look until the stop."""
        while not self.stop.is_set():
            turn()
            try:
                await self.run_once()
            except DATABASE_ERRORS as error:  # away, or not migrated yet: webhooks do not wait for this
                self._tell(error)
            await self._pause(LOOK_SECONDS)

    async def run_once(self) -> None:
        """Look once; carry out what is there."""
        await self._say_what_there_is()
        [row] = await self.database.fetch(QUERIES["look"], self._names)
        self._is_told = False
        if row["is_wanted"]:
            await self._carry_out()

    @property
    def _names(self) -> Sequence[str]:
        return [handler.name for handler in self.registry.registered]

    async def _say_what_there_is(self) -> None:
        """Tell operators which handlers may be asked for, once an hour; and forget old answers."""
        if time.monotonic() - self._said_at < _SAY_AGAIN_SECONDS:
            return
        known = [
            (one.name, "\n".join(one.types), "\n".join(one.organiser_types), one.acts_outside)
            for one in self.registry.registered
        ]
        await self.database.execute(QUERIES["keep_handlers"], *columns(known, 4))
        await self.database.execute(QUERIES["forget"])
        self._said_at = time.monotonic()

    async def _carry_out(self) -> None:
        code = await self._run_process()
        if code in (0, SEAT_TAKEN) or self.stop.is_set():
            self._deaths = 0
            return
        self._deaths += 1
        log.warning("operations_process_ended", code=code, deaths=self._deaths)
        await self._pause(_AFTER_DEATH.seconds(self._deaths))

    async def _run_process(self) -> int:
        """Start one, and watch it to its end; its exit code."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *self.command,
                    str(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    start_new_session=True,
                )
            log.info("operations_process_started", pid=process.pid)
            try:
                await self._watch(process, ours)
            finally:
                if process.returncode is None:
                    _kill(process.pid)
            return await process.wait()

    async def _watch(self, process: asyncio.subprocess.Process, link: socket.socket) -> None:
        """Return when it has ended, or hangs, or has had its time to end after the stop."""
        reader, writer = await asyncio.open_connection(sock=link)
        try:
            patience = _START_SECONDS
            while not self.stop.is_set():
                turn()
                if not await self._has_beaten(reader, patience):
                    return
                patience = self.silent_seconds
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _END_SECONDS)
        finally:
            writer.close()

    async def _has_beaten(self, reader: asyncio.StreamReader, seconds: float) -> bool:
        """Whether it gives a sign of life in that time; at the stop, at once."""
        beat = asyncio.create_task(reader.read(1000))
        stop = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait([beat, stop], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return stop.done() or (beat.done() and bool(beat.result()))
        finally:
            beat.cancel()
            stop.cancel()
            await asyncio.gather(beat, stop, return_exceptions=True)

    def _tell(self, error: Exception) -> None:
        if not self._is_told:
            log.warning("operations_not_looked_for", reason=type(error).__name__)
        self._is_told = True

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stop.wait()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
