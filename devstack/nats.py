"""A NATS server of our own: a supervised child with JetStream on file storage, on 127.0.0.1 only, behind passwords."""

import asyncio
import json
import secrets
import shutil
import sys
import time
from pathlib import Path

from devstack.child import Child, Command, end_leftover, recorded_process
from devstack.files import read_or_none, size_of, tail, write_private
from devstack.nats_users import PERSON, SERVICES, users
from devstack.ports import LOOPBACK, free_port
from devstack.problems import StackProblem, explain

START_SECONDS = 30.0
_POLL_SECONDS = 0.02


class NatsServer:
    """One running server. ``kill``, ``restart`` and ``wipe`` are for those who test what happens then."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._passwords = {PERSON: _password(folder / "password")}
        self._passwords |= {service: _password(folder / f"{service}.password") for service in SERVICES}
        self._log = folder / "nats.log"
        self._record = folder / "nats.pid.json"
        self._child: Child | None = None
        self.is_wanted = True
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, store_dir: Path, port: int = 0) -> "NatsServer":
        """Start on the store under this folder; a free port unless one is given. Raises StackProblem."""
        store_dir.mkdir(parents=True, exist_ok=True)
        server = cls(store_dir, port or free_port())
        try:
            await server._end_leftover()
            await server._launch()
        except BaseException:
            await server.stop()
            raise
        return server

    @property
    def url(self) -> str:
        """Its address for a person, who may do everything."""
        return self.url_for(PERSON)

    def url_for(self, user: str) -> str:
        """Its address for one of its users, with the password."""
        return f"nats://{user}:{self._passwords[user]}@{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._running().exit_code

    @property
    def log(self) -> Path:
        """Where it writes what it has to say."""
        return self._log

    async def stop(self, *, within_seconds: float = 5) -> None:
        """End it; its store stays."""
        self.is_wanted = False
        if self._child is not None:
            await self._child.stop(within_seconds=within_seconds)

    def kill(self) -> None:
        """SIGKILL it, as a fault would; a stack starts it again unless ``stop`` follows."""
        self._running().kill()

    async def restart(self) -> None:
        """Start again on the same port and store, stopping it first where it still runs."""
        async with self._turn:
            await self.stop()
            await self._launch()
            self.is_wanted = True

    async def wipe(self) -> None:
        """Stop it and delete its whole store, as an asynchronous failover at its worst would; ``restart`` follows."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.folder / "jetstream", ignore_errors=True)

    def _running(self) -> Child:
        if self._child is None:
            raise StackProblem("NATS was not started.")
        return self._child

    async def _end_leftover(self) -> None:
        leftover = recorded_process(self._record)
        if leftover is not None:
            await end_leftover(leftover)

    async def _launch(self) -> None:
        configuration = self._write_configuration()
        start_byte = size_of(self._log)
        self._child = Child.spawn(
            Command(
                name="NATS",
                argv=[nats_program(), "--config", str(configuration)],
                env={},
                log=self._log,
                record=self._record,
            )
        )
        if not await self._is_ready(start_byte):
            raise explain("NATS", self.folder, tail(self._log, start_byte=start_byte))

    def _write_configuration(self) -> Path:
        """The passwords travel in a private file, never in an argument that every user of the machine can read."""
        path = self.folder / "nats.conf"
        settings = {
            "server_name": "sluice-local",
            "listen": f"{LOOPBACK}:{self.port}",
            "jetstream": {"store_dir": str(self.folder.resolve())},
            "authorization": {"users": users(self._passwords)},
        }
        write_private(path, json.dumps(settings, indent=2))  # its configuration language contains JSON
        return path

    async def _is_ready(self, start_byte: int) -> bool:
        child, deadline = self._running(), time.monotonic() + START_SECONDS
        while child.exit_code is None and time.monotonic() < deadline:
            if "Server is ready" in tail(self._log, start_byte=start_byte, limit_bytes=100_000):
                return True
            await asyncio.sleep(_POLL_SECONDS)
        if child.exit_code is None:
            await child.stop()
        return False


def nats_program() -> str:
    """The server's program in this environment, or on the PATH. Raises StackProblem."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise StackProblem("nats-server is not installed here: run `make run`, which installs it.")
    return found


def _password(path: Path) -> str:
    known = read_or_none(path)
    if known:
        return known.strip()
    password = secrets.token_urlsafe(24)
    write_private(path, f"{password}\n")
    return password
