"""
Connections to PostgreSQL with our settings, through a pooler that refuses startup parameters too.

PostgreSQL takes the settings of a session together with the login, at no cost. PgBouncer and its like refuse most of
them there; behind a pooler in session mode one statement after the login sets them, and they hold as long.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import asyncpg

from sluice.postgres.errors import TransactionPooler, is_of_another_session
from sluice.postgres.session_mark import Session, leave_mark, read_mark
from sluice.runtime import logs

_REFUSALS = frozenset({"08P01", "0A000"})  # PgBouncer's and others' own; PostgreSQL refuses a parameter otherwise
_KNOWN_TO_POOLERS = frozenset({"application_name", "timezone"})
_STATEMENT_SECONDS = 2
_CHECK_SECONDS = 1  # a pooler whose sessions are all taken lets no stranger in
_LOOKS = 3


class Connector:
    """Connects as ``asyncpg.connect`` does, and remembers that a pooler in between refuses our startup parameters."""

    def __init__(self) -> None:
        self._is_refused = False
        self._is_checked = False
        self._checking = asyncio.Lock()

    async def __call__(self, *args: Any, **arguments: Any) -> Session:
        """
        One connection, with every setting of ``server_settings`` in force.

        Raises:
            TransactionPooler: settings cannot be in force, for the session is another one with each transaction.
        """
        settings: Mapping[str, str] = arguments.get("server_settings") or {}
        if not settings.keys() - _KNOWN_TO_POOLERS:
            return await _connect(*args, **arguments)
        if not self._is_refused:
            try:
                return await _connect(*args, **arguments)
            except asyncpg.PostgresError as error:
                if error.sqlstate not in _REFUSALS:
                    raise
                self._remember(error)
        known = {name: value for name, value in settings.items() if name in _KNOWN_TO_POOLERS}
        return await self._through_pooler(settings, *args, **(arguments | {"server_settings": known}))

    def _remember(self, refusal: asyncpg.PostgresError) -> None:
        if not self._is_refused:
            self._is_refused = True
            logs.get_logger().info("pooler_found", reason=str(refusal), then="settings are set after each login")

    async def _through_pooler(self, settings: Mapping[str, str], *args: Any, **arguments: Any) -> Session:
        connection = await _connect(*args, **arguments)
        try:
            async with self._checking:  # one at a time, or one's statement hides another's session
                if not self._is_checked:
                    await self._check(connection, *args, **arguments)
            await connection.execute(_set_all(settings), timeout=_STATEMENT_SECONDS)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _check(self, connection: Session, *args: Any, **arguments: Any) -> None:
        """Look once whether a session stays ours; without a second connection to be had, believe it."""
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with asyncio.timeout(_CHECK_SECONDS):
                if await _is_shared(connection, *args, **arguments):
                    raise TransactionPooler
        self._is_checked = True


async def _connect(*args: Any, **arguments: Any) -> Session:
    connection: Session = await asyncpg.connect(*args, **arguments)
    return connection


def _set_all(settings: Mapping[str, str]) -> str:
    """One statement for all; asyncpg has no arguments without a prepared statement."""
    values = (f"set_config('{name}', {_literal(value)}, false)" for name, value in settings.items())
    return f"SELECT {', '.join(values)}"


def _literal(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


async def _is_shared(connection: Session, *args: Any, **arguments: Any) -> bool:
    """
    Mark our session, look for the mark from transactions of a stranger's, and miss it in our own.

    Most poolers give away what was given back last, and that is our session after each look; others take turns.
    """
    mark = await leave_mark(connection)
    stranger = await _connect(*args, **arguments)
    try:
        for _ in range(_LOOKS):
            async with stranger.transaction():
                if await read_mark(stranger) == mark or await read_mark(connection) != mark:
                    return True
    except asyncpg.PostgresError as error:
        if is_of_another_session(error):
            return True
        raise
    else:
        return False
    finally:
        stranger.terminate()  # a farewell would wait for a session that it may never get
