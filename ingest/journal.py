"""
The group commit: all webhooks that arrive while a write is under way go out together in the next one.

There is no timer. An idle journal writes at once; a busy one writes larger batches, and begins the next before anybody
is told of the last. Whoever calls ``record`` is answered after the commit of a write that holds their own delivery,
whether it was new or a repeat.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from ingest import metrics
from ingest.batch import Batch, Waiting, columns, differs, firsts_of, others, without_receipt
from ingest.deadline import Deadline
from ingest.failures import NotRecorded, OutOfTime, TooMuchAtOnce
from ingest.notices import NOTICES
from ingest.receipts import ALREADY_RECORDED, RECORDED, Promise, Receipt
from sluice.chassis.postgres import DATABASE_ERRORS, Connection, Database, Record, is_transient
from sluice.chassis.postgres_hold import Hold
from sluice.chassis.sql import load_queries
from sluice.contract.event import StripeEvent
from sluice.failures import DatabaseUnavailable, Unavailable

QUERIES = load_queries(__file__, "journal.sql")
_LEAST_RETRY_SECONDS = 0.3
_HOLD_SECONDS = 1.0
_LEAST_SHARE = 32  # below this a write costs the same however few its rows are
_ROW_AT_FAULT = frozenset({"22", "23", "54", "P0", "XX"})  # a value, a constraint, a limit, a trigger, a broken page


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """How much waits and for how long, how much goes out at once, how long a write with its one repetition may take."""

    queue_rows: int = 10_000
    queue_bytes: int = 64 * 1024 * 1024
    batch_rows: int = 500
    batch_bytes: int = 4 * 1024 * 1024
    write_seconds: float = 2
    receipt_seconds: float = 2.5


class Journal:
    """
    Records webhooks in ``webhook_logs``.

    Args:
        on_recorded: told of the new events of each write after its commit; it must not block.
        on_failure: told of each write that failed; it must not block.
    """

    def __init__(
        self,
        database: Database,
        *,
        on_recorded: Callable[[Sequence[StripeEvent]], None],
        on_failure: Callable[[Exception], None],
        limits: JournalLimits | None = None,
    ) -> None:
        self._hold = Hold(database)
        self._on_recorded = on_recorded
        self._on_failure = on_failure
        self._limits = limits or JournalLimits()
        self._queue: deque[Waiting] = deque()
        self._bytes = 0
        self._taken = 0
        self._arrived = asyncio.Event()
        self._deadline = Deadline(self._limits.receipt_seconds, OutOfTime)

    @property
    def waiting_rows(self) -> int:
        """Webhooks that wait for the next write."""
        return len(self._queue)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the bodies that wait or are being written."""
        return self._bytes

    async def record(self, event: StripeEvent, verified_by: str) -> Receipt:
        """
        Return once this delivery is committed.

        Raises:
            TooMuchAtOnce: too much waits already.
            OutOfTime, DatabaseUnavailable, NotRecorded: it may be recorded nevertheless; the sender should try again.
        """
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.enter(event, verified_by, receipt)
        return await receipt

    def enter(self, event: StripeEvent, verified_by: str, receipt: Promise) -> None:
        """
        Put a delivery into the next write, and return at once; ``receipt`` learns what ``record`` returns or raises.

        Raises:
            TooMuchAtOnce: too much waits already.
        """
        size = len(event.body)
        if len(self._queue) >= self._limits.queue_rows or self._bytes + size > self._limits.queue_bytes:
            raise TooMuchAtOnce
        self._queue.append(Waiting(event, verified_by, receipt))
        self._bytes += size
        self._deadline.watch(receipt)
        self._arrived.set()

    async def run(self) -> None:
        """Write what arrives, one batch at a time, for ever."""
        try:
            while True:
                await self._arrival()
                while self._queue:
                    await self._write_next()
        finally:
            await self._hold.give_back()

    async def _arrival(self) -> None:
        """Wait for the next webhook; for a moment with the connection still in hand."""
        try:
            async with asyncio.timeout(_HOLD_SECONDS):
                await self._arrived.wait()
        except TimeoutError:
            await self._hold.give_back()
            await self._arrived.wait()
        self._arrived.clear()

    async def _write_next(self) -> None:
        batch, size = self._take()
        try:
            await self._write(batch)
        finally:
            self._bytes -= size
            _refuse(batch, NotRecorded)  # whoever has no answer yet, should this task be cancelled

    def _take(self) -> tuple[Batch, int]:
        """The next batch, without those who no longer wait; and the bytes that it and those held."""
        batch: list[Waiting] = []
        size = batch_bytes = 0
        rows_max = self._share()
        while self._queue and len(batch) < rows_max:
            body_bytes = len(self._queue[0].event.body)
            if batch and batch_bytes + body_bytes > self._limits.batch_bytes:
                break
            waiting = self._queue.popleft()
            size += body_bytes
            if not waiting.receipt.done():
                batch.append(waiting)
                batch_bytes += body_bytes
        self._taken = len(batch)
        return batch, size

    def _share(self) -> int:
        """
        How many the next write takes: half of a crowd that comes again as soon as it is answered.

        PostgreSQL then writes one half while we read and verify the other. A write of all would leave us idle until it
        is committed, and PostgreSQL until all have come again.
        """
        crowd = len(self._queue) + self._taken
        return min(self._limits.batch_rows, max(_LEAST_SHARE, -(-crowd // 2)))

    async def _write(self, batch: Batch) -> None:
        if not batch:
            return
        began = time.monotonic()
        try:
            await self._insert_again_if_unsure(batch, began + self._limits.write_seconds)
        except DATABASE_ERRORS as error:
            await self._not_written(batch, error)
            return
        metrics.JOURNAL_WRITE_SECONDS.observe(time.monotonic() - began)
        metrics.JOURNAL_BATCH_ROWS.observe(len(batch))

    async def _insert_again_if_unsure(self, batch: Batch, deadline: float) -> None:
        """
        Insert; once more, on another connection, where the first answer was lost.

        The statement is keyed by event id, so repeating one that had committed changes nothing but the repeats' count.
        """
        try:
            await self._insert(batch, deadline)
        except DATABASE_ERRORS as error:
            if not _is_worth_repeating(error) or deadline - time.monotonic() < _LEAST_RETRY_SECONDS:
                raise
            metrics.JOURNAL_FAILURES.labels("repetition").inc()
            NOTICES.failed("journal_write_repeated", error)
        else:
            return
        await self._insert(without_receipt(batch), deadline)

    async def _insert(self, batch: Batch, deadline: float) -> None:
        """The usual case in one statement; repeats, if there are any, in a second one."""
        connection: Connection
        firsts = firsts_of(batch)
        async with self._hold.use(within_seconds=_left(deadline)) as connection:
            recorded = await connection.fetch(
                QUERIES["record_new"], *columns(list(firsts.values())), timeout=_left(deadline)
            )
            self._give([firsts[row["stripe_event_id"]] for row in recorded], RECORDED)
            if rest := others(batch, recorded, firsts):
                await self._insert_repeats(connection, rest, deadline)

    async def _insert_repeats(self, connection: Connection, batch: Batch, deadline: float) -> None:
        rows = await connection.fetch(QUERIES["record"], *columns(batch), differs(batch), timeout=_left(deadline))
        await _fill(connection, batch, rows, deadline)
        _note_other_bodies(rows)
        firsts = firsts_of(batch)
        recorded = [row for row in rows if row["is_new"]]
        self._give([firsts[row["stripe_event_id"]] for row in recorded], RECORDED)
        self._give(others(batch, recorded, firsts), ALREADY_RECORDED)

    def _give(self, committed: Batch, receipt: Receipt) -> None:
        for waiting in committed:
            if not waiting.receipt.done():
                waiting.receipt.set_result(receipt)
        if committed and receipt is RECORDED:
            self._on_recorded([waiting.event for waiting in committed])

    async def _not_written(self, batch: Batch, error: Exception) -> None:
        """PostgreSQL away: refuse all who wait. A row that it refuses: find it by halving, and spare the others."""
        batch = without_receipt(batch)
        if len(batch) > 1 and _is_about_a_row(error):
            metrics.JOURNAL_FAILURES.labels("halving").inc()
            middle = len(batch) // 2
            await self._write(batch[:middle])
            await self._write(batch[middle:])
            return
        metrics.JOURNAL_FAILURES.labels("refusal").inc()
        self._on_failure(error)
        if is_transient(error):
            _refuse(batch, DatabaseUnavailable)
            self._refuse_queue()
        else:
            _refuse(batch, NotRecorded)

    def _refuse_queue(self) -> None:
        _refuse(self._queue, DatabaseUnavailable)
        self._bytes -= sum(len(waiting.event.body) for waiting in self._queue)
        self._queue.clear()


def _note_other_bodies(rows: Sequence[Record]) -> None:
    for row in rows:
        if row["body_differs"]:
            metrics.BODY_DIFFERS.inc()
            NOTICES.warn("webhook_body_differs", stripe_event_id=row["stripe_event_id"])


async def _fill(connection: Connection, batch: Batch, rows: Sequence[Record], deadline: float) -> None:
    """Fill the rows that an earlier application left; refuse who finds one held, since a 200 would lose the webhook."""
    unfilled = {row["stripe_event_id"] for row in rows if row["is_unfilled"]}
    if not unfilled:
        return
    waiting = [waiting for waiting in batch if waiting.event.stripe_event_id in unfilled]
    filled = await connection.fetch(
        QUERIES["fill"], *columns(list(firsts_of(waiting).values())), timeout=_left(deadline)
    )
    held = unfilled - {row["stripe_event_id"] for row in filled}
    _refuse([one for one in waiting if one.event.stripe_event_id in held], NotRecorded)


def _refuse(batch: "Batch | deque[Waiting]", failure: type[Unavailable]) -> None:
    for waiting in batch:
        if not waiting.receipt.done():
            waiting.receipt.set_exception(failure())


def _is_worth_repeating(error: Exception) -> bool:
    """Whether another connection may do better; where none was to be had, there is no other."""
    return is_transient(error) and not isinstance(error, DatabaseUnavailable)


def _is_about_a_row(error: Exception) -> bool:
    if isinstance(error, ValueError):  # asyncpg cannot encode a value
        return True
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in _ROW_AT_FAULT


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.01)
