"""
A PostgreSQL server of our own: a supervised child that answers on 127.0.0.1 only, with every durability switch on.

Its folder holds ``data`` (or the record of where that went), ``passwords.json`` (mode 0600) and ``postgres.log``.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import asyncpg
import psutil

from devstack.child import Child, Command, Identity, end_leftover
from devstack.files import read_or_none, size_of, tail, write_private
from devstack.home import PostgresHome, find_home
from devstack.ports import LOOPBACK, free_port
from devstack.problems import StackProblem, explain
from devstack.server import Server

SUPERUSER = "postgres"
SERVICE_LOGINS = ("ingest", "processor", "healthd", "reconciler")
LOGIN_ROLES = (*SERVICE_LOGINS, "operator", "console", "maintainer")
DEFAULT_DATABASE = "sluice"
START_SECONDS = 120.0  # recovery after a crash replays the log; an idle start takes a quarter of a second
_POLL_SECONDS = 0.02
_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}  # nothing of the shell's, whose locale may be broken


class PostgresServer(Server):
    """One running server."""

    name = "PostgreSQL"
    stopped_by = signal.SIGINT  # as ``pg_ctl stop -m fast``

    def __init__(self, folder: Path, home: PostgresHome, port: int, settings: Mapping[str, str]) -> None:
        super().__init__(folder, folder / "postgres.log", port)
        self.home = home
        self._settings = settings
        self._passwords = _passwords(folder / "passwords.json")

    @classmethod
    async def start(
        cls, data_dir: Path, port: int = 0, *, settings: Mapping[str, str] = MappingProxyType({})
    ) -> "PostgresServer":
        """
        Start on the data under this folder, making it the first time.

        Args:
            settings: of PostgreSQL's own, in place of ours.

        Raises:
            StackProblem: it did not start.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        server = cls(data_dir, find_home(data_dir), port or free_port(), settings)
        try:
            await server._end_leftovers()
            await asyncio.to_thread(server._initialise)
            await server._launch()
            await server._create_database(DEFAULT_DATABASE)
        except BaseException:
            await server.stop()
            raise
        return server

    def url(self, database: str = DEFAULT_DATABASE, user: str | None = None) -> str:
        """Address of a database for the superuser, or for one of the services' login roles."""
        name = user or SUPERUSER
        return f"postgresql://{name}:{self.password(name)}@{LOOPBACK}:{self.port}/{quote(database)}"

    def password(self, user: str) -> str:
        """The generated password of the superuser or of a login role."""
        return self._passwords[user]

    async def _end_leftovers(self) -> None:
        await end_leftovers(self.home.data)

    def _initialise(self) -> None:
        """Make the data folder whole or not at all; a folder of another version stays as it is."""
        data = self.home.data
        if data.exists():
            self._check_version()
            return
        draft = data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self.home.identity is not None:
            os.chown(draft, self.home.identity.uid, self.home.identity.gid)
        self._initdb(draft)
        draft.rename(data)

    def _check_version(self) -> None:
        ours = self.home.programs.name.removeprefix("pginstall")
        theirs = (read_or_none(self.home.data / "PG_VERSION") or "").strip()
        if theirs == ours:
            return
        what = f"is of PostgreSQL {theirs}" if theirs else "is no PostgreSQL data"
        raise StackProblem(
            f"The data in {self.home.data} {what} and this is PostgreSQL {ours}: "
            f"move that folder away to start afresh, or use it with its own version."
        )

    def _initdb(self, target: Path) -> None:
        identity = self.home.identity
        with _password_pipe(self.password(SUPERUSER), identity) as descriptor:
            done = subprocess.run(
                _initdb_command(self.home.program("initdb"), target, descriptor),
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=START_SECONDS,
                cwd=target.parent,
                env=_ENVIRONMENT,
                pass_fds=[descriptor],
                user=identity.uid if identity else None,
                group=identity.gid if identity else None,
                extra_groups=[] if identity else None,
            )
        if done.returncode != 0:
            shutil.rmtree(target, ignore_errors=True)
            raise explain("PostgreSQL (initdb)", self.folder, done.stdout.decode(errors="replace"))

    async def _launch(self) -> None:
        for _ in range(3):
            start_byte = size_of(self.log)
            self._child = Child.spawn(self._command())
            if await self._is_ready():
                return
            output = tail(self.log, start_byte=start_byte)
            if "pre-existing shared memory" in output:  # a killed postmaster's last children are still leaving
                await self._end_leftovers()
            elif "Address already in use" not in output:
                raise explain(self.name, self.folder, output)
            else:
                self.port = free_port()
        raise explain(self.name, self.folder, tail(self.log))

    def _command(self) -> Command:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "logging_collector": "off",
            "log_destination": "stderr",
            **self._settings,
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Command(
            name=self.name,
            argv=[self.home.program("postgres"), "-D", str(self.home.data), *flags],
            env=_ENVIRONMENT,
            log=self.log,
            identity=self.home.identity,
            folder=Path("/"),
            orphan_signal=self.stopped_by,
        )

    async def _is_ready(self) -> bool:
        """Wait until it accepts connections; False when it ended instead."""
        child, deadline = self._running(), time.monotonic() + START_SECONDS
        while child.exit_code is None:
            if _postmaster_status(self.home.data, child.pid) == "ready":
                return True
            if time.monotonic() > deadline:
                await child.stop(by=self.stopped_by)
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def _create_database(self, name: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"), timeout=30)
        try:
            if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name) is None:
                await connection.execute(f'CREATE DATABASE "{name}"', timeout=60)
        finally:
            await connection.close(timeout=5)


async def end_leftovers(data: Path) -> None:
    """
    End every PostgreSQL process that works in this data folder: what a killed run left behind.

    They are known by their working folder, which PostgreSQL sets to its data; an orphaned backend lives in it too.
    """
    for process in _processes_in(data):
        await end_leftover(process, by=signal.SIGINT)


def _processes_in(data: Path) -> Sequence[psutil.Process]:
    found = []
    wanted = os.path.realpath(data)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "postgres" and os.path.realpath(process.cwd()) == wanted:
                found.append(process)
    return sorted(found, key=lambda process: process.create_time())


def _postmaster_status(data: Path, pid: int) -> str:
    """Read the eighth line of postmaster.pid: the state of this very process."""
    lines = (read_or_none(data / "postmaster.pid") or "").splitlines()
    if len(lines) < 8 or lines[0].strip() != str(pid):  # noqa: PLR2004 - the number of lines of a complete file
        return ""
    return lines[7].strip()


def _initdb_command(program: str, target: Path, password_descriptor: int) -> Sequence[str]:
    return [
        program,
        f"--pgdata={target}",
        f"--username={SUPERUSER}",
        f"--pwfile=/dev/fd/{password_descriptor}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
    ]


@contextlib.contextmanager
def _password_pipe(password: str, reader_identity: Identity | None) -> Iterator[int]:
    """A descriptor from which initdb reads the password: it is in no file and no argument."""
    reader, writer = os.pipe()
    try:
        if reader_identity is not None:
            os.fchown(reader, reader_identity.uid, reader_identity.gid)
        os.write(writer, f"{password}\n".encode())
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


def _passwords(path: Path) -> dict[str, str]:
    text = read_or_none(path)
    known: dict[str, str] = json.loads(text) if text else {}
    missing = {SUPERUSER, *LOGIN_ROLES} - known.keys()
    if missing:
        known |= {user: secrets.token_urlsafe(24) for user in missing}
        write_private(path, json.dumps(known, indent=2))
    return known
