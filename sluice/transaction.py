"""The open transaction as a handler has it: whatever it writes, and no way to end it."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sluice.failures import Defect
from sluice.transaction_control import refuse_transaction_control

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.cursor import CursorFactory
    from asyncpg.transaction import Transaction as Savepoint

_Answer = TypeVar("_Answer")


class TransactionOver(Defect):
    """A task that a handler left behind used its transaction after the handler had returned."""


class Transaction(Protocol):
    """
    The transaction of a handler; each method as asyncpg's connection has it.

    What is written through it commits together with ``processed = true``. In a test, a connection of asyncpg's with an
    open transaction will do.
    """

    def execute(self, query: str, *args: object, timeout: float | None = None) -> Awaitable[str]:
        """Run a statement, or without arguments a script; its command tag."""
        ...

    def executemany(
        self, command: str, args: Iterable[Sequence[object]], *, timeout: float | None = None
    ) -> Awaitable[None]:
        """Run a statement once for each sequence of arguments."""
        ...

    def fetch(self, query: str, *args: object, timeout: float | None = None) -> "Awaitable[list[Record]]":
        """All rows of a query."""
        ...

    def fetchrow(self, query: str, *args: object, timeout: float | None = None) -> "Awaitable[Record | None]":
        """The first row of a query."""
        ...

    def fetchval(self, query: str, *args: object, column: int = 0, timeout: float | None = None) -> Awaitable[Any]:
        """One value of the first row of a query."""
        ...

    def cursor(
        self, query: str, *args: object, prefetch: int | None = None, timeout: float | None = None
    ) -> "CursorFactory[Record]":
        """Rows of a query, a few at a time."""
        ...

    def transaction(self) -> "Savepoint":
        """A savepoint: ``async with tx.transaction():`` undoes what its block wrote if the block raises."""
        ...

    def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Iterable[Sequence[object]],
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
    ) -> Awaitable[str]:
        """Write many rows at once."""
        ...

    def is_closed(self) -> bool:
        """Whether the connection is lost."""
        ...


@dataclass(slots=True)
class HandlersTransaction:
    """
    A connection whose transaction one call of a handler can neither end nor leave, nor use when it has returned.

    Each method that takes SQL raises ``TransactionControl`` before anything is sent; that is the handler's own failure.
    """

    _connection: Transaction
    _at_work: "set[asyncio.Task[Any] | None]" = field(default_factory=set)
    """The tasks that wait for a statement."""
    _is_over: bool = False
    _is_idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_in_use(self) -> bool:
        """Whether a statement is under way."""
        return bool(self._at_work)

    def end(self) -> None:
        """Refuse whatever comes from now on."""
        self._is_over = True

    async def is_freed(self, *, within_seconds: float) -> bool:
        """Whether the statements that are under way have an end in that time; they are cancelled."""
        self._is_idle.clear()
        for task in self._at_work:
            if task is not None:
                task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._is_idle.wait()
        return not self.is_in_use

    def execute(self, query: str, *args: object, timeout: float | None = None) -> Awaitable[str]:
        """As ``Transaction``."""
        self._check(query)
        return self._counted(self._connection.execute(query, *args, timeout=timeout))

    def executemany(
        self, command: str, args: Iterable[Sequence[object]], *, timeout: float | None = None
    ) -> Awaitable[None]:
        """As ``Transaction``."""
        self._check(command)
        return self._counted(self._connection.executemany(command, args, timeout=timeout))

    def fetch(self, query: str, *args: object, timeout: float | None = None) -> "Awaitable[list[Record]]":
        """As ``Transaction``."""
        self._check(query)
        return self._counted(self._connection.fetch(query, *args, timeout=timeout))

    def fetchrow(self, query: str, *args: object, timeout: float | None = None) -> "Awaitable[Record | None]":
        """As ``Transaction``."""
        self._check(query)
        return self._counted(self._connection.fetchrow(query, *args, timeout=timeout))

    def fetchval(self, query: str, *args: object, column: int = 0, timeout: float | None = None) -> Awaitable[Any]:
        """As ``Transaction``."""
        self._check(query)
        return self._counted(self._connection.fetchval(query, *args, column=column, timeout=timeout))

    def cursor(
        self, query: str, *args: object, prefetch: int | None = None, timeout: float | None = None
    ) -> "CursorFactory[Record]":
        """As ``Transaction``."""
        self._check(query)
        return self._connection.cursor(query, *args, prefetch=prefetch, timeout=timeout)

    def transaction(self) -> "Savepoint":
        """As ``Transaction``."""
        self._check()
        return self._connection.transaction()

    def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Iterable[Sequence[object]],
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
    ) -> Awaitable[str]:
        """As ``Transaction``."""
        self._check()
        return self._counted(
            self._connection.copy_records_to_table(
                table_name, records=records, columns=columns, schema_name=schema_name, timeout=timeout
            )
        )

    def is_closed(self) -> bool:
        """As ``Transaction``."""
        return self._connection.is_closed()

    def _check(self, sql: str = "") -> None:
        if self._is_over:
            raise TransactionOver("the handler whose transaction it was has returned")
        refuse_transaction_control(sql)

    async def _counted(self, statement: Awaitable[_Answer]) -> _Answer:
        task = asyncio.current_task()
        self._at_work.add(task)
        try:
            return await statement
        finally:
            self._at_work.discard(task)
            if not self._at_work:
                self._is_idle.set()
