"""
The sweep: publishes again what is due and unprocessed, whatever became of its earlier messages.

A fresh row is published straight from the journal, so while nothing fails a sweep finds only retries. A row that was
published and not tried is left alone until the consumer has passed it, so a backlog breeds no duplicates; unless this
process knows that its publication failed. Any number of sweeps may run at once: each claims rows with SKIP LOCKED,
commits, and only then publishes.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

from ingest import metrics
from ingest.rate_limited_log import RATE_LIMITED_LOG
from ingest.relay.parts import parts
from ingest.relay.publisher import Publication, Publisher
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import CONSUMER
from sluice.failures import StreamUnavailable
from sluice.inbox import publications
from sluice.inbox.publications import Claimed, Clock
from sluice.nats.broker import Broker
from sluice.nats.types import ConsumerState
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.runtime.endless import turn

_IDLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """How often and how fast the sweep works."""

    every_seconds: float = 1
    batch_rows: int = 500
    batch_bytes: int = 8 * 1024 * 1024
    """Bodies held in memory at once."""
    rows_per_second: int = 2_000
    overdue_per_second: int = 100
    overdue_seconds: float = 300
    margin_seconds: float = 5
    """A row published less than this ago counts as on its way; covers publishing, and two clocks that differ."""
    in_flight_seconds: float = 35
    """Longer than ``ack_wait``: what was delivered before and is not acknowledged was delivered again since."""
    query_seconds: float = 3
    whole_every_seconds: float = 300
    """How often the indexes are read from their beginning, and not from where healthd saw the first open row."""


@dataclass(frozen=True, slots=True)
class Swept:
    """Rows that one sweep published, by reason."""

    due: int = 0
    failed_publications: int = 0
    passed: int = 0
    overdue: int = 0


_Claim: TypeAlias = Callable[[], Awaitable[Sequence[Claimed]]]


@dataclass(frozen=True, slots=True)
class _Batch:
    claimed: int
    published: int


class Relay:
    """Sweeps ``webhook_logs`` for rows that are due."""

    def __init__(
        self,
        database: Database,
        stream: Broker,
        publisher: Publisher,
        *,
        limits: RelayLimits | None = None,
        consumer: str = CONSUMER,
    ) -> None:
        self._database = database
        self._stream = stream
        self._publisher = publisher
        self._limits = limits or RelayLimits()
        self._consumer = consumer
        self._whole_at = time.monotonic()

    async def run(self) -> None:
        """Sweep for ever; nothing while JetStream is away."""
        while True:
            turn()
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._stream.wait_connected()
            if not self._stream.is_connected:
                continue
            await self.sweep()
            await asyncio.sleep(self._limits.every_seconds * random.uniform(0.75, 1.25))

    async def sweep(self) -> Swept:
        """Publish everything that is due now, in bounded batches; what fails is due again when its lease ends."""
        try:
            swept = await self._sweep()
        except StreamUnavailable:
            metrics.RELAY_SWEEPS.labels("stream_unavailable").inc()
        except DATABASE_ERRORS as error:
            metrics.RELAY_SWEEPS.labels("database_unavailable").inc()
            RATE_LIMITED_LOG.failed("sweep_failed", error)
        else:
            metrics.RELAY_SWEEPS.labels("done").inc()
            return swept
        return Swept()

    async def _sweep(self) -> Swept:
        state = await self._stream.consumer_state(self._consumer)
        clock = await self._read_clock(state)
        is_whole = self._reads_all()
        due = await self._drain(self._claim_due(is_whole), "due")
        failed_publications = await self._publish_failed()
        passed = 0
        if clock.passed_before is not None:
            claim = self._claim_untried(self._limits.batch_rows, clock.passed_before, is_whole)
            passed = await self._drain(claim, "passed")
        claim = self._claim_untried(self._limits.overdue_per_second, clock.overdue_before, is_whole)
        overdue = await self._claim_and_publish(claim, "overdue")
        return Swept(due=due, failed_publications=failed_publications, passed=passed, overdue=overdue.published)

    def _reads_all(self) -> bool:
        """The first time, and every few minutes: the mark is a help and no truth."""
        now = time.monotonic()
        if now < self._whole_at:
            return False
        self._whole_at = now + self._limits.whole_every_seconds
        return True

    def _claim_due(self, is_whole: bool) -> _Claim:
        return partial(
            publications.claim_due,
            self._database,
            self._limits.batch_rows,
            is_whole=is_whole,
            within_seconds=self._limits.query_seconds,
        )

    def _claim_untried(self, rows_at_most: int, published_before: datetime, is_whole: bool) -> _Claim:
        return partial(
            publications.claim_untried,
            self._database,
            rows_at_most,
            published_before,
            is_whole=is_whole,
            within_seconds=self._limits.query_seconds,
        )

    async def _publish_failed(self) -> int:
        """Fresh rows whose publication failed here; one batch in each sweep, since whatever made it fail may go on."""
        limits = self._limits
        ids = self._publisher.failed_publications.take(limits.batch_rows, older_than_seconds=limits.margin_seconds)
        if not ids:
            return 0
        claim = partial(publications.claim_unpublished, self._database, ids, within_seconds=limits.query_seconds)
        return (await self._claim_and_publish(claim, "unsent")).published

    async def _read_clock(self, state: ConsumerState) -> Clock:
        """
        Before which moment the consumer has passed everything; the state must have been read first.

        Nothing pending: everything stored until then was delivered; nothing unacknowledged either: it was tried.
        """
        within = self._limits.in_flight_seconds if state.ack_pending else 0
        idle = None if state.pending else timedelta(seconds=within + self._limits.margin_seconds)
        floor = state.ack_floor_stored_at
        return await publications.read_clock(
            self._database,
            passed_before=idle,
            floor=None if floor is None else floor - timedelta(seconds=self._limits.margin_seconds),
            overdue=timedelta(seconds=self._limits.overdue_seconds),
            within_seconds=self._limits.query_seconds,
        )

    async def _drain(self, claim: _Claim, reason: str) -> int:
        """Batch after batch, not faster than the limit, until there is no more or JetStream goes away."""
        total = 0
        pause = self._limits.batch_rows / self._limits.rows_per_second
        while True:
            turn()
            began = time.monotonic()
            batch = await self._claim_and_publish(claim, reason)
            total += batch.published
            if batch.claimed < self._limits.batch_rows or not batch.published:
                return total
            await asyncio.sleep(max(0.0, began + pause - time.monotonic()))

    async def _claim_and_publish(self, claim: _Claim, reason: str) -> _Batch:
        """Claim these rows, commit, publish them."""
        claimed = await claim()
        if claimed and reason != "due":
            metrics.RELAY_REPAIRS.labels(reason).inc(len(claimed))
        published = 0
        too_late = time.monotonic() + self._limits.margin_seconds
        for part in parts(claimed, self._travelling_bytes, most_bytes=self._limits.batch_bytes):
            left = too_late - time.monotonic()
            if left > 0:
                published += await self._publish(part, reason, within_seconds=left)
        return _Batch(len(claimed), published)

    async def _publish(self, rows: Sequence[Claimed], reason: str, *, within_seconds: float) -> int:
        wanted = [row.stripe_event_id for row in rows if self._travelling_bytes(row)]
        bodies = await publications.read_bodies(self._database, wanted, within_seconds=self._limits.query_seconds)
        messages = [_publication(row, bodies.get(row.stripe_event_id, b""), reason) for row in rows]
        return await self._publisher.publish_all(messages, within_seconds=within_seconds)

    def _travelling_bytes(self, row: Claimed) -> int:
        """The length of a body that travels with its message; 0 where it stays in PostgreSQL."""
        return row.body_bytes if row.body_bytes <= self._publisher.body_bytes_max else 0


def _publication(row: Claimed, body: bytes, reason: str) -> Publication:
    event = StripeEvent(
        stripe_event_id=row.stripe_event_id,
        type=row.webhook_type,
        created=row.created,
        livemode=bool(row.livemode),
        account=row.stripe_account_id,
        api_version=row.api_version,
        object_id=row.object_id,
        tenant=row.tenant,
        body=body,
    )
    return Publication(event, attempt=row.processing_attempts, publication=row.publications, reason=reason)
