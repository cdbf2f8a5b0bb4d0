"""Start PostgreSQL and NATS together, keep them alive, end them together; or use existing ones."""

import asyncio
from collections.abc import Callable, Sequence

from devstack.folder import StackFolder
from devstack.nats import NatsServer
from devstack.postgres import LOGIN_ROLES, PostgresServer
from devstack.problems import StackProblem
from devstack.server import Server
from devstack.together import together
from devstack.wiring import SERVICES, WITHOUT_NATS, Addresses

STOP_SECONDS = 3.0
_LOOK_SECONDS = 0.1
_GRACE_SECONDS = 0.3
_RETRY_SECONDS = 2.0


class Servers:
    """Our own two servers; or PostgreSQL alone, where Sluice is to work without NATS."""

    def __init__(self, folder: StackFolder, *, wants_nats: bool = True) -> None:
        self._folder = folder
        self._wants_nats = wants_nats
        self._postgres: PostgresServer | None = None
        self._nats: NatsServer | None = None

    @property
    def postgres(self) -> PostgresServer:
        """PostgreSQL, once started."""
        if self._postgres is None:
            raise StackProblem("This stack has no PostgreSQL of its own.")
        return self._postgres

    @property
    def nats(self) -> NatsServer:
        """NATS, once started."""
        if self._nats is None:
            raise StackProblem("This stack has no NATS of its own.")
        return self._nats

    @property
    def nats_url(self) -> str:
        """The address of NATS; empty where there is none."""
        return self.nats.url if self._wants_nats else ""

    @property
    def running(self) -> Sequence[Server]:
        """Whichever was started."""
        return [server for server in (self._postgres, self._nats) if server is not None]

    async def start(self) -> None:
        """Start both. Raises StackProblem."""
        await together(self._start_postgres(), *([self._start_nats()] if self._wants_nats else []))

    def addresses(self) -> Addresses:
        """Where they are, for each service by its own role and user."""
        urls = {role: self.postgres.url(user=role) for role in LOGIN_ROLES}
        with_nats = [name for name in SERVICES if name not in WITHOUT_NATS]
        nats_urls = {name: self.nats.url_for(name) if self._wants_nats else "" for name in with_nats}
        return Addresses(database_urls=urls, nats_urls=nats_urls)

    async def stop(self) -> None:
        """End whichever runs."""
        await together(*(server.stop(within_seconds=STOP_SECONDS) for server in self.running))

    def kill(self) -> None:
        """End whichever runs, at once."""
        for server in self.running:
            server.kill()

    async def keep_alive(self, on_restart: Callable[[str], None]) -> None:
        """For ever: start again what died without being asked to."""
        await together(*(_keep_alive(server, on_restart) for server in self.running))

    async def _start_postgres(self) -> None:
        self._postgres = await PostgresServer.start(self._folder.postgres)

    async def _start_nats(self) -> None:
        self._nats = await NatsServer.start(self._folder.nats)


def _is_missing(server: Server) -> bool:
    return server.exit_code is not None and server.is_wanted


async def _keep_alive(server: Server, on_restart: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if not _is_missing(server):
            continue
        await asyncio.sleep(_GRACE_SECONDS)  # a stop on purpose is announced within this time
        if not _is_missing(server):
            continue
        try:
            await server.restart()
        except StackProblem as problem:
            server.is_wanted = True
            on_restart(f"{server.name} died and cannot be started again yet: {problem}")
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            on_restart(f"{server.name} died and was started again.")
