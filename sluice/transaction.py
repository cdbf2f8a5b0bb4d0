"""The open transaction as a handler has it: whatever it writes, and no way to end it."""

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sluice.transaction_control import refuse_transaction_control

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.cursor import CursorFactory
    from asyncpg.transaction import Transaction as Savepoint


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


@dataclass(frozen=True, slots=True)
class HandlersTransaction:
    """
    A connection whose transaction a handler can neither end nor leave.

    Each method that takes SQL raises ``TransactionControl`` before anything is sent; that is the handler's own failure.
    """

    _connection: Transaction

    def execute(self, query: str, *args: object, timeout: float | None = None) -> Awaitable[str]:
        """As ``Transaction``."""
        refuse_transaction_control(query)
        return self._connection.execute(query, *args, timeout=timeout)

    def executemany(
        self, command: str, args: Iterable[Sequence[object]], *, timeout: float | None = None
    ) -> Awaitable[None]:
        """As ``Transaction``."""
        refuse_transaction_control(command)
        return self._connection.executemany(command, args, timeout=timeout)

    def fetch(self, query: str, *args: object, timeout: float | None = None) -> "Awaitable[list[Record]]":
        """As ``Transaction``."""
        refuse_transaction_control(query)
        return self._connection.fetch(query, *args, timeout=timeout)

    def fetchrow(self, query: str, *args: object, timeout: float | None = None) -> "Awaitable[Record | None]":
        """As ``Transaction``."""
        refuse_transaction_control(query)
        return self._connection.fetchrow(query, *args, timeout=timeout)

    def fetchval(self, query: str, *args: object, column: int = 0, timeout: float | None = None) -> Awaitable[Any]:
        """As ``Transaction``."""
        refuse_transaction_control(query)
        return self._connection.fetchval(query, *args, column=column, timeout=timeout)

    def cursor(
        self, query: str, *args: object, prefetch: int | None = None, timeout: float | None = None
    ) -> "CursorFactory[Record]":
        """As ``Transaction``."""
        refuse_transaction_control(query)
        return self._connection.cursor(query, *args, prefetch=prefetch, timeout=timeout)

    def transaction(self) -> "Savepoint":
        """As ``Transaction``."""
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
        return self._connection.copy_records_to_table(
            table_name, records=records, columns=columns, schema_name=schema_name, timeout=timeout
        )

    def is_closed(self) -> bool:
        """As ``Transaction``."""
        return self._connection.is_closed()
