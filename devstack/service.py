"""One service as a child that is started again when it dies, as a kubelet would."""

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout

from devstack.child import Child, Command, end_leftover, recorded_process
from devstack.files import size_of, tail
from devstack.ports import LOOPBACK, free_port
from devstack.problems import StackProblem, explain
from sluice.runtime.backoff import Backoff

READY_SECONDS = 45.0
STOP_SECONDS = 5.0
_BACKOFF = Backoff(0.1, 5, factor=3)
CALM_SECONDS = 30.0  # after this long alive, the next death is forgiven at once again
_POLL_SECONDS = 0.05
_WATCH_SECONDS = 0.1
_PORT_TAKEN = "address already in use"


class Service:
    """A service with ports of its own, on the loopback, that stay the same when it is started again."""

    def __init__(self, name: str, command: Callable[["Service"], Command]) -> None:
        self.name = name
        self.public_port = free_port()
        self.admin_port = free_port()
        self.restarts = 0
        self.is_ready = False
        self._make_command = command
        self._child: Child | None = None
        self._wanted = True

    @property
    def admin_url(self) -> str:
        """Where its probes, metrics and status are."""
        return f"http://{LOOPBACK}:{self.admin_port}"

    @property
    def pid(self) -> int:
        """Process id of the one that runs now, or ran last."""
        return self._running().pid

    @property
    def log(self) -> Path:
        """Its log."""
        return self._running().command.log

    async def start(self, session: ClientSession) -> None:
        """Start it and wait until it is ready. Raises StackProblem with its last words where it is not."""
        await self._end_leftover()
        for attempts_left in (2, 1, 0):
            start_byte = self._spawn()
            if await self.wait_ready(session):
                return
            said = tail(self.log, start_byte=start_byte)
            if attempts_left == 0 or _PORT_TAKEN not in said.lower():
                raise await self._failure(said)
            self.public_port, self.admin_port = free_port(), free_port()

    async def keep_alive(self, session: ClientSession, on_restart: Callable[[str, str], None]) -> None:
        """For ever: start it again each time it dies. ``on_restart`` hears its name and how it ended, once it runs."""
        deaths = 0
        while True:
            child = self._running()
            code = await child.wait(within_seconds=3600, look_seconds=_WATCH_SECONDS)
            if code is None or not self._wanted:
                await asyncio.sleep(_WATCH_SECONDS)
                continue
            self.is_ready = False
            deaths = 0 if time.monotonic() - child.started_at > CALM_SECONDS else deaths
            deaths += 1
            await asyncio.sleep(_BACKOFF.seconds(deaths))
            if self._is_decided(child):
                continue
            self.restarts += 1
            self._spawn()
            on_restart(self.name, _how(code))
            await self.wait_ready(session)

    async def wait_ready(self, session: ClientSession, *, within_seconds: float = READY_SECONDS) -> bool:
        """Whether it answered its readiness probe in time, and still runs."""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline and self._running().exit_code is None:
            if await self._probe(session):
                self.is_ready = True
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def stop(self, *, by: signal.Signals = signal.SIGTERM) -> None:
        """End it for good, or until ``resume``."""
        self._wanted = False
        self.is_ready = False
        if self._child is not None:
            await self._child.stop(by=by, within_seconds=STOP_SECONDS)

    async def resume(self, session: ClientSession) -> None:
        """Start it again after ``stop``."""
        self._wanted = True
        await self.start(session)

    def kill(self) -> None:
        """SIGKILL it, as a fault would; it is started again."""
        if self._child is not None:
            self._child.kill()

    def _running(self) -> Child:
        if self._child is None:
            raise StackProblem(f"{self.name} was not started.")
        return self._child

    def _is_decided(self, dead: Child) -> bool:
        """Whether another task has decided meanwhile what becomes of it."""
        return not self._wanted or self._child is not dead

    def _spawn(self) -> int:
        """Start the process; where in its log its own words begin."""
        command = self._make_command(self)
        start_byte = size_of(command.log)
        self._child = Child.spawn(command)
        return start_byte

    async def _end_leftover(self) -> None:
        record = self._make_command(self).record
        leftover = recorded_process(record) if record is not None else None
        if leftover is not None:
            await end_leftover(leftover)

    async def _probe(self, session: ClientSession) -> bool:
        try:
            async with session.get(f"{self.admin_url}/readyz", timeout=ClientTimeout(total=2)) as answer:
                return answer.status == 200  # noqa: PLR2004 - the one status that says ready
        except (ClientError, TimeoutError, OSError):
            return False

    async def _failure(self, said: str) -> StackProblem:
        code = self._running().exit_code
        await self.stop()
        how = f"not ready after {READY_SECONDS:.0f} s" if code is None else _how(code)
        return StackProblem(f"{explain(self.name, self.log.parent, said)}\n({how}; the whole log: {self.log})")


def service_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The little of the shell's environment that a program needs to run at all; its locale is ours to choose."""
    kept = {name: inherited[name] for name in ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE") if name in inherited}
    return kept | {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def _how(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
