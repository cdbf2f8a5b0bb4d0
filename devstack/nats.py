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
from devstack.server import Server

START_SECONDS = 30.0
_POLL_SECONDS = 0.02


class NatsServer(Server):
    """One running server. ``wipe`` too is for those who test what happens then."""

    name = "NATS"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, folder / "nats.log", port)
        self._passwords = {PERSON: _password(folder / "password")}
        self._passwords |= {service: _password(folder / f"{service}.password") for service in SERVICES}
        self._record = folder / "nats.pid.json"

    @classmethod
    async def start(cls, store_dir: Path, port: int = 0) -> "NatsServer":
        """Start on the store under this folder; a free port unless one is given. Raises StackProblem."""
        store_dir.mkdir(parents=True, exist_ok=True)
        server = cls(store_dir, port or free_port())
        try:
            await server._end_leftovers()
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

    async def wipe(self) -> None:
        """Stop it and delete its whole store, as an asynchronous failover at its worst would; ``restart`` follows."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.folder / "jetstream", ignore_errors=True)

    async def _end_leftovers(self) -> None:
        leftover = recorded_process(self._record)
        if leftover is not None:
            await end_leftover(leftover)

    async def _launch(self) -> None:
        configuration = self._write_configuration()
        start_byte = size_of(self.log)
        self._child = Child.spawn(
            Command(
                name=self.name,
                argv=[nats_program(), "--config", str(configuration)],
                env={},
                log=self.log,
                record=self._record,
            )
        )
        if not await self._is_ready(start_byte):
            raise explain(self.name, self.folder, tail(self.log, start_byte=start_byte))

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
            if "Server is ready" in tail(self.log, start_byte=start_byte, limit_bytes=100_000):
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
