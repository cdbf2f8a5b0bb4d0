"""Settle payments again that ``events`` rows move: rows that appear, change or vanish after the webhook."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from processor.failures.classify import Blame, blame
from processor.failures.error_summary import describe
from processor.failures.token_bucket import TokenBucket
from processor.payments.backfill_backoff import Postponed
from processor.payments.ledger import RowChange
from sluice.error_log.error_log import ErrorLog
from sluice.payments.recompute import Node
from sluice.postgres.pool import Database
from sluice.registry import Transaction
from sluice.runtime.endless import turn
from sluice.runtime.logs import get_logger

Take: TypeAlias = Callable[[Transaction, int, Collection[Node]], Awaitable[Sequence[Node]]]
"""Locks payments that a row moves: at most so many, and none of these."""
Project: TypeAlias = Callable[[Transaction, Collection[Node]], Awaitable[Sequence[RowChange]]]
"""Settles them again; returns the rows that show something else now."""

log = get_logger()
TRANSACTION_SECONDS = 5.0
PAYMENTS_AT_ONCE = 200
FAULTS_IN_A_ROUND = 20


@dataclass(frozen=True)
class Projection:
    """Projects payments again, in one transaction."""

    take: Take
    project: Project


@dataclass(frozen=True)
class Backfill:
    """
    Looks for such payments now and then, and settles them in short transactions.

    A payment that cannot be projected, as where a trigger or CHECK of the user's refuses it, is found by halving and
    left out for a while that grows with each failure; the others do not wait for it.
    """

    database: Database
    projection: Projection
    errors: ErrorLog
    stop: asyncio.Event
    every_seconds: float = 2
    postponed: Postponed = field(default_factory=Postponed)
    reports: TokenBucket = field(default_factory=lambda: TokenBucket(burst=5, per_second=1 / 60))

    async def run(self) -> None:
        """Project payments again until the stop."""
        while not self.stop.is_set():
            turn()
            await self.run_once()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.every_seconds):
                    await self.stop.wait()

    async def run_once(self) -> None:
        """
        Project all open payments again, transaction after transaction; but no more than so many faults at once.

        PostgreSQL's absence is nothing new; a fault of the projection goes on record.
        """
        limit, faults = PAYMENTS_AT_ONCE, 0
        while faults < FAULTS_IN_A_ROUND and not self.stop.is_set():
            turn()
            taken: list[Node] = []
            try:
                await self._project(limit, taken)
            except Exception as error:  # noqa: BLE001 - this loop never ends the service; the next round tries again
                if not self._may_go_on_after(error, taken):
                    return
                faults += len(taken) == 1
                limit = max(len(taken) // 2, 1)
            else:
                if len(taken) < limit:
                    return
                limit = min(limit * 2, PAYMENTS_AT_ONCE)

    async def _project(self, limit: int, taken: list[Node]) -> None:
        async with (
            asyncio.timeout(TRANSACTION_SECONDS),
            self.database.acquire() as connection,
            connection.transaction(isolation="read_committed"),
        ):
            taken.extend(await self.projection.take(connection, limit, self.postponed.now()))
            changes = await self.projection.project(connection, taken) if taken else ()
        for change in changes:
            log.info(
                "events_row_changed",
                events_id=change.events_id,
                status_before=change.status_before,
                status=change.status,
                payment_id=change.payment_id,
                bound_by=change.bound_by,
            )

    def _may_go_on_after(self, error: Exception, taken: Sequence[Node]) -> bool:
        """
        Whether it was about these payments, so that half of them, or the others, may fare better.

        A row that is locked, a slow trigger, or one that takes the connection with it: each may be theirs alone.
        In an outage the next look for payments finds none, which ends the round.
        """
        is_fault = blame(error) in (Blame.EVENT, Blame.HOPELESS)
        may_be_theirs = is_fault or blame(error) in (Blame.CONTENTION, Blame.UNCLEAR)
        if len(taken) == 1 and may_be_theirs:
            self._postpone(taken[0], error)
        elif is_fault and not taken:
            self._report(f"Looking for payments to project again failed: {describe(error)}")
        return bool(taken) and may_be_theirs

    def _postpone(self, node: Node, error: Exception) -> None:
        pause_seconds = self.postponed.add(node)
        self._report(
            f"Settling the payment {node.payment_id} ({node.scope}) failed, "
            f"tried again in {pause_seconds:.0f} s: {describe(error)}"
        )

    def _report(self, message: str) -> None:
        if self.reports.permits():
            self.errors.database(message)
