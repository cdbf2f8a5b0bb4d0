"""The public port: who is taken in, and for how long it is open."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from ingest import metrics
from ingest.http.connection import ConnectionLimits, GuardedConnection
from ingest.http.fast_path import FastPath
from ingest.http.idle_connections import connections_to_close
from sluice.runtime.listening import listen_on
from sluice.runtime.probes import PortTaken

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_BACKLOG = 1024


class PublicServer(web.Server):
    """
    Makes a guarded connection for each client.

    Args:
        fast_path: answers the plainest webhooks in the handler's stead; None: the handler answers all.
        is_draining: whether we are about to end; connections are then closed after their answer.
    """

    def __init__(
        self, handler: Handler, fast_path: FastPath | None, limits: ConnectionLimits, *, is_draining: Callable[[], bool]
    ) -> None:
        super().__init__(handler)
        self.fast_path = fast_path
        self.is_draining = is_draining
        self._limits = limits

    @property
    def is_full(self) -> bool:
        """Whether one more client is one too many."""
        return len(self._connections) >= self._limits.connections

    def make_room(self) -> bool:
        """Close a few connections that wait for their clients, if there are any; whether a newcomer fits now."""
        guarded = [connection for connection in self._connections if isinstance(connection, GuardedConnection)]
        gone = connections_to_close(guarded, self._limits.connections, self._loop.time())
        for connection in gone:
            connection.give_way()
            self._connections.pop(connection, None)  # counted no longer, though it ends in a moment
        return bool(gone)

    @property
    def open_connections(self) -> int:
        """Clients connected now."""
        return len(self._connections)

    def __call__(self) -> web.RequestHandler:
        """One more client."""
        return GuardedConnection(self, self._limits, loop=self._loop)


@dataclass(frozen=True, slots=True)
class Listening:
    """A port that is open to the public."""

    host: str
    port: int
    server: PublicServer


class PublicPortTaken(PortTaken):
    """The public port cannot be listened on."""


@asynccontextmanager
async def listen(
    server: PublicServer, host: str, port: int, *, reuse_port: bool, finish_seconds: float
) -> AsyncIterator[Listening]:
    """
    Take requests until the block ends; then let those under way finish.

    Args:
        port: any free one for 0.
        finish_seconds: how long requests under way have, once the block has ended.

    Raises:
        PublicPortTaken: with a sentence for the person who runs this.
    """
    metrics.CONNECTIONS.set_function(lambda: server.open_connections)
    runner = web.ServerRunner(server, shutdown_timeout=finish_seconds)
    await runner.setup()
    try:
        await _open(runner, host, port, reuse_port=reuse_port)
        yield Listening(host, runner.addresses[0][1], server)
    finally:
        await runner.cleanup()


async def _open(runner: web.ServerRunner, host: str, port: int, *, reuse_port: bool) -> None:
    try:
        await listen_on(runner, host, port, backlog=_BACKLOG, reuse_port=reuse_port)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PublicPortTaken(
            f"ingest cannot listen on {host}:{port} ({reason}); set LISTEN_PORT to a free port, or end what holds it."
        ) from error
