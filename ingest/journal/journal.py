"""
The group commit: all webhooks that arrive while a write is under way go out together in the next one.

There is no timer. An idle journal writes at once; a busy one writes larger batches, and begins the next before it
answers the requests of the last. A call of ``record`` returns after the commit of a write that holds its own delivery,
whether it was new or a repeat.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ingest import metrics
from ingest.errors import NotRecorded, OutOfTime, TooMuchAtOnce
from ingest.journal.batch import Batch, QueuedWebhook, firsts_of, others, refuse, without_receipt
from ingest.journal.fair_queue import FairQueue
from ingest.journal.receipt import ALREADY_RECORDED, RECORDED, Receipt, ReceiptSink
from ingest.journal.repeats import record_repeats
from ingest.journal.shared_deadline import Deadline, seconds_left
from ingest.journal.suspended_tenants import SuspendedTenants
from ingest.rate_limited_log import RATE_LIMITED_LOG
from sluice.contract.event import StripeEvent
from sluice.failures import DatabaseUnavailable
from sluice.inbox import recorder
from sluice.postgres.errors import cause_of
from sluice.postgres.pool import DATABASE_ERRORS, Connection, Database, is_transient
from sluice.postgres.sqlstate import Cause
from sluice.postgres.sticky_connection import StickyConnection
from sluice.runtime.endless import turn

_LEAST_RETRY_SECONDS = 0.3
_HOLD_SECONDS = 1.0
_IDLE_SECONDS = 10.0
_LEAST_SHARE = 32  # below this a write costs the same however few its rows are
_ROW_AT_FAULT = frozenset({Cause.ROW_REFUSED, Cause.DATA_CORRUPTED})


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
        self._connection = StickyConnection(database)
        self._on_recorded = on_recorded
        self._on_failure = on_failure
        self._limits = limits or JournalLimits()
        self._queue = FairQueue(rows_max=self._limits.queue_rows, bytes_max=self._limits.queue_bytes)
        self._suspended = SuspendedTenants()
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
        return self._queue.body_bytes

    async def record(self, event: StripeEvent, verified_by: str) -> Receipt:
        """
        Return once this delivery is committed.

        Raises:
            TooMuchAtOnce: too much waits already, altogether or of this organiser's.
            OutOfTime, DatabaseUnavailable, NotRecorded: it may be recorded nevertheless; the sender should try again.
        """
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.enter(event, verified_by, receipt)
        return await receipt

    def enter(self, event: StripeEvent, verified_by: str, receipt: ReceiptSink) -> None:
        """
        Put a delivery into the next write, and return at once; ``receipt`` learns what ``record`` returns or raises.

        Raises:
            TooMuchAtOnce: as ``record``.
        """
        self._suspended.check(event.tenant)
        self._queue.put(QueuedWebhook(event, verified_by, receipt))
        self._deadline.watch(receipt)
        self._arrived.set()

    async def run(self) -> None:
        """Write what arrives, one batch at a time, for ever."""
        try:
            while True:
                turn()
                await self._arrival()
                while self._queue:
                    turn()
                    await self._write_next()
        finally:
            await self._connection.give_back()

    async def _arrival(self) -> None:
        """Wait for the next webhook; for a moment with the connection still in hand."""
        try:
            async with asyncio.timeout(_HOLD_SECONDS):
                await self._arrived.wait()
        except TimeoutError:
            await self._connection.give_back()
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._arrived.wait()
        self._arrived.clear()

    async def _write_next(self) -> None:
        taken = self._queue.take(self._share(), self._limits.batch_bytes)
        batch = self._not_barred(without_receipt(taken.waiting))  # those who still wait
        self._taken = len(batch)
        try:
            await self._write(batch)
        finally:
            self._queue.give_back(taken)
            refuse(batch, NotRecorded)  # those without an answer yet, should this task be cancelled

    def _share(self) -> int:
        """
        How many the next write takes: half of the clients that come again as soon as they are answered.

        PostgreSQL then writes one half while we read and verify the other. A write of all would leave us idle until it
        is committed, and PostgreSQL until all have come again.
        """
        waiting = len(self._queue) + self._taken
        return min(self._limits.batch_rows, max(_LEAST_SHARE, -(-waiting // 2)))

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
            RATE_LIMITED_LOG.failed("journal_write_repeated", error)
        else:
            return
        await self._insert(without_receipt(batch), deadline)

    async def _insert(self, batch: Batch, deadline: float) -> None:
        """The usual case in one statement; repeats, if there are any, in a second one."""
        connection: Connection
        firsts = firsts_of(batch)
        async with self._connection.use(within_seconds=seconds_left(deadline)) as connection:
            new_ids = await recorder.record_new(
                connection, list(firsts.values()), within_seconds=seconds_left(deadline)
            )
            new = [firsts[event_id] for event_id in new_ids]
            self._give(new, RECORDED)
            if rest := others(batch, new):
                await self._insert_repeats(connection, rest, deadline)

    async def _insert_repeats(self, connection: Connection, batch: Batch, deadline: float) -> None:
        committed = await record_repeats(connection, batch, deadline)
        self._give(committed.new, RECORDED)
        self._give(committed.repeats, ALREADY_RECORDED)

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
            await self._write(self._not_barred(batch[:middle]))
            await self._write(self._not_barred(batch[middle:]))
            return
        metrics.JOURNAL_FAILURES.labels("refusal").inc()
        self._on_failure(error)
        if is_transient(error):
            refuse(batch, DatabaseUnavailable)
            refuse(self._queue.clear(), DatabaseUnavailable)
        else:
            refuse(batch, NotRecorded)
            self._suspended.bar(waiting.event.tenant for waiting in batch)

    def _not_barred(self, batch: Batch) -> Batch:
        """Those that may still be written; of an organiser one bad row is enough."""
        free, suspended = self._suspended.split(batch)
        refuse(suspended, TooMuchAtOnce)
        return free


def _is_worth_repeating(error: Exception) -> bool:
    """Whether another connection may do better; where none was to be had, there is no other."""
    return is_transient(error) and not isinstance(error, DatabaseUnavailable)


def _is_about_a_row(error: Exception) -> bool:
    return cause_of(error) in _ROW_AT_FAULT
