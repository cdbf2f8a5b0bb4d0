"""One pool of connections to PostgreSQL that starts without it, heals by itself and never waits for ever."""

import asyncio
import contextlib
import socket
import time
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from sluice.failures import DatabaseUnavailable
from sluice.postgres.connect import Connector
from sluice.postgres.connect_options import connect_arguments, keep_alive
from sluice.postgres.errors import (
    DATABASE_ERRORS,
    TransactionPooler,
    is_failover,
    is_in_use,
    is_of_another_session,
    is_transient,
    is_unavailable,
)
from sluice.postgres.reasons import reason_of
from sluice.runtime import logs, metrics
from sluice.runtime.endless import run_endless, tell_to_end, turn
from sluice.runtime.settings import ServiceSettings

__all__ = ["DATABASE_ERRORS", "Connection", "Database", "Record", "is_in_use", "is_transient"]

Record: TypeAlias = "asyncpg.Record"
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
_Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_IDLE_SECONDS = 300
_CLOSE_SECONDS = 2
_FLOOR_SECONDS = 5
_AGAIN_SECONDS = 1

_CONNECTIONS = metrics.gauge("postgres_pool_connections", "Open connections of this process.", ("state",))
_MAXIMUM = metrics.gauge("postgres_pool_connections_max", "Connections that this process may open.")
_WAITERS = metrics.gauge("postgres_pool_waiters", "Tasks that wait for a connection now.")
_ACQUIRE_SECONDS = metrics.histogram("postgres_pool_acquire_seconds", "Time that a task waited for its connection.")
_TIMEOUTS = metrics.counter("postgres_pool_acquire_timeouts_total", "Tasks that got no connection in time.")


class Database:
    """
    PostgreSQL as a service sees it.

    Nothing here waits past the caller's deadline. A server that is stopped is ``DatabaseUnavailable`` at once; when it
    is back the next caller gets a connection. A connection goes back as it is, with a transaction that was left
    open rolled back; so use no session state (``SET`` without ``LOCAL``, ``LISTEN``, session advisory locks).
    """

    def __init__(self, pool: _Pool, *, min_size: int, max_size: int) -> None:
        """Use ``open`` or ``connect``."""
        self._pool = pool
        self._min_size = min_size
        self._max_size = max_size
        self._waiters = 0
        self._timeouts = 0
        self.problem: str | None = None
        """Why the newest attempt to get a connection failed, in fixed words; None: one was to be had."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: ServiceSettings, application_name: str, *, keeps_plans: bool = False
    ) -> AsyncIterator[Self]:
        """The pool that a service's settings describe; ``keeps_plans`` as in ``connect_arguments``."""
        async with cls.connect(
            settings.database_url.get_secret_value(),
            application_name=application_name,
            min_size=settings.database_pool_min_size,
            max_size=settings.database_pool_max_size,
            statement_cache=settings.database_statement_cache,
            keeps_plans=keeps_plans,
        ) as database:
            yield database

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        dsn: str,
        *,
        application_name: str,
        min_size: int = 1,
        max_size: int = 10,
        command_seconds: float = 5,
        statement_cache: bool = True,
        keeps_plans: bool = False,
    ) -> AsyncIterator[Self]:
        """
        A pool that keeps ``min_size`` connections open whenever PostgreSQL is there.

        Args:
            command_seconds: the longest a statement may take, unless its caller says otherwise.
            statement_cache: False behind a pooler in transaction mode; then nothing is set for the session either.
            keeps_plans: as in ``connect_arguments``.
        """
        pool: _Pool = await asyncpg.create_pool(
            min_size=0,
            max_size=max_size,
            max_inactive_connection_lifetime=_IDLE_SECONDS,
            connect=Connector(),
            init=keep_alive,
            reset=_keep_session,
            **connect_arguments(
                dsn,
                application_name=application_name,
                command_seconds=command_seconds,
                statement_cache=statement_cache,
                keeps_plans=keeps_plans,
            ),
        )
        database = cls(pool, min_size=min_size, max_size=max_size)
        floor = asyncio.create_task(run_endless("postgres_floor", database._keep_floor), name="postgres_floor")
        _OPEN.add(database)
        try:
            yield database
        finally:
            _OPEN.discard(database)
            tell_to_end(floor)
            await asyncio.gather(floor, return_exceptions=True)
            await _close(pool)

    @asynccontextmanager
    async def acquire(self, *, within_seconds: float = 2) -> AsyncIterator[Connection]:
        """
        One connection for this block alone; errors of statements inside pass through as asyncpg's own.

        Raises:
            DatabaseUnavailable: no connection was free, or none could be made, in that time.
        """
        connection = await self._take(within_seconds)
        try:
            yield connection
        except asyncpg.PostgresError as error:
            if is_failover(error):
                await self._pool.expire_connections()
            raise
        finally:
            await self._give_back(connection)

    async def fetch(self, query: str, *args: object, within_seconds: float = 5) -> list[Record]:
        """
        The rows of one statement.

        Raises:
            DatabaseUnavailable: PostgreSQL did not answer in that time, or the connection was lost on the way:
                whether the statement took effect is then unknown.
        """
        deadline = time.monotonic() + within_seconds
        try:
            async with self.acquire(within_seconds=within_seconds) as connection:
                return await connection.fetch(query, *args, timeout=_left(deadline))
        except Exception as error:
            raise _translate(error) from error

    async def execute(self, query: str, *args: object, within_seconds: float = 5) -> str:
        """The command tag of one statement; fails as ``fetch`` does."""
        deadline = time.monotonic() + within_seconds
        try:
            async with self.acquire(within_seconds=within_seconds) as connection:
                return await connection.execute(query, *args, timeout=_left(deadline))
        except Exception as error:
            raise _translate(error) from error

    def status(self) -> Mapping[str, int]:
        """The pool's figures for ``/status``."""
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        return {"size": size, "idle": idle, "busy": size - idle, "max": self._max_size, "waiters": self._waiters}

    def reach(self) -> Mapping[str, str | int | None]:
        """For ``/status``: why no connection was to be had last, and how often one was waited for in vain."""
        return {"problem": self.problem, "timeouts": self._timeouts}

    async def _take(self, within_seconds: float) -> Connection:
        started = time.monotonic()
        self._waiters += 1
        try:
            async with asyncio.timeout(within_seconds):  # asyncpg's own costs a task on Python 3.11
                connection = await self._pool.acquire()
        except TimeoutError as error:
            _TIMEOUTS.inc()
            self._timeouts += 1
            if self._pool.get_size() < self._max_size:  # else our own work has them all
                self.problem = reason_of(error)
            raise DatabaseUnavailable(f"no connection within {within_seconds:g} s ({self._busy()})") from error
        except DatabaseUnavailable:
            raise
        except Exception as error:
            self.problem = reason_of(error)
            raise DatabaseUnavailable(f"no connection: {_name(error)}") from error
        else:
            self.problem = None
            return connection
        finally:
            self._waiters -= 1
            _ACQUIRE_SECONDS.observe(time.monotonic() - started)

    async def _give_back(self, connection: Connection) -> None:
        try:
            await self._pool.release(connection, timeout=_CLOSE_SECONDS)
        except Exception as error:  # noqa: BLE001  asyncpg has ended the connection; the caller's work stands
            logs.get_logger().warning("postgres_connection_dropped", reason=_name(error))

    def _busy(self) -> str:
        figures = self.status()
        return f"{figures['busy']} of {figures['max']} busy, {figures['waiters']} waiting"

    async def _keep_floor(self) -> None:
        """Open connections ahead of need; asyncpg's own floor would refuse to start without PostgreSQL."""
        while True:
            turn()
            if self.problem is not None or self._pool.get_size() < self._min_size:
                await self._warm()
            await asyncio.sleep(_FLOOR_SECONDS if self.problem is None else _AGAIN_SECONDS)

    async def _warm(self) -> None:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(max(1, self._min_size)):
                try:
                    await held.enter_async_context(self.acquire(within_seconds=_FLOOR_SECONDS))
                except DatabaseUnavailable as error:
                    logs.get_logger().warning("postgres_unavailable", reason=str(error))
                    return


async def _keep_session(_: object) -> None:
    """Nothing to reset: asyncpg rolls an open transaction back before it asks, and session state is not used."""


async def _close(pool: _Pool) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def _translate(error: Exception) -> Exception:
    if isinstance(error, DatabaseUnavailable) or not is_unavailable(error):
        return error
    return TransactionPooler() if is_of_another_session(error) else DatabaseUnavailable(_name(error))


def _name(error: BaseException) -> str:
    """Class and SQLSTATE, never the text: it may quote values."""
    if isinstance(error, socket.gaierror):
        return f"the name of its host is not found ({type(error).__name__})"
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} {state}" if state else type(error).__name__


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.01)


_OPEN: "weakref.WeakSet[Database]" = weakref.WeakSet()


def _sum_of(figure: str) -> float:
    return float(sum(database.status()[figure] for database in list(_OPEN)))


_CONNECTIONS.labels("idle").set_function(lambda: _sum_of("idle"))
_CONNECTIONS.labels("busy").set_function(lambda: _sum_of("busy"))
_MAXIMUM.set_function(lambda: _sum_of("max"))
_WAITERS.set_function(lambda: _sum_of("waiters"))
