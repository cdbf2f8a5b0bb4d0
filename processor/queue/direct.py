"""Due webhooks taken from PostgreSQL itself, as messages that no broker carried."""

import time
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from processor import metrics
from processor.queue.watermark import Watermark
from sluice.contract.codec import Envelope, encode
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import subject_for
from sluice.nats.jetstream import IncomingMessage
from sluice.postgres.pool import DATABASE_ERRORS, Database, Record
from sluice.postgres.sql import load_queries
from sluice.runtime.backoff import Backoff
from sluice.runtime.logs import get_logger

QUERIES = load_queries(__file__, "direct.sql")
LEASE_SECONDS = 5.0
"""How long a lease outlives its process; it is renewed every second."""
SUSPECT_LEASE_SECONDS = 2.0
"""The same of a lease with suspects: the next one to run may end the process."""
_LOOKS = Backoff(0.05, 0.25, factor=1.5)
_AFTER_FAILURE_SECONDS = 3.0
_FOR_EVER = timedelta(days=36_500)
_LOOKBACK = timedelta(minutes=1)


@dataclass
class Direct:
    """
    Takes due webhooks and leaves a lease that names them, for other processors should this process die of one.

    The rows are claimed, handled and settled like those of any message; each webhook's body is read when it is claimed.
    """

    database: Database
    clock: Callable[[], float] = time.monotonic
    pause_seconds: float = _LOOKS.first_seconds
    """How long to wait before the next look, if the last one found nothing."""
    _leases: dict[IncomingMessage, str] = field(default_factory=dict)
    _doubtful: set[str] = field(default_factory=set)
    """Of the leases, those with suspects."""
    _finished: list[str] = field(default_factory=list)
    _empty_looks: int = 0
    _marks: Watermark = field(default_factory=Watermark)
    _failed_at: float = field(default=float("-inf"))

    async def fetch(self, most: int, *, least_age_seconds: float) -> Sequence[IncomingMessage]:
        """
        At most so many webhooks that have been due for that long; in a lease until ``finished``.

        Raises:
            DatabaseUnavailable: none was taken as far as we know.
        """
        lease = uuid.uuid4().hex
        finished = self._finished[:]
        try:
            rows = await self._lease(lease, finished, most, least_age_seconds)
        except BaseException:
            self._finished.append(lease)  # should it be there, it is not in hand
            self._failed_at = self.clock()
            self._marks.failed()
            raise
        del self._finished[: len(finished)]
        messages = [_message(row, lease) for row in rows if row["stripe_event_id"] is not None]
        if messages:
            self._leases[messages[0]] = lease
            await self._shorten(lease, messages)
            metrics.TAKEN_DIRECTLY.inc(len(messages))
        self._empty_looks = 0 if messages else self._empty_looks + 1
        self.pause_seconds = _LOOKS.seconds(self._empty_looks + 1)
        return messages

    def finished(self, messages: Sequence[IncomingMessage]) -> None:
        """These are in hand no more; those of the stream are not our concern."""
        lease = self._leases.pop(messages[0], None)
        if lease is not None:
            self._finished.append(lease)
            self._doubtful.discard(lease)

    async def release(self) -> None:
        """At the end of a process: what it has finished or left is no trace of a death; never raises."""
        try:
            await self.database.execute(QUERIES["release"], self._finished, within_seconds=1)
        except DATABASE_ERRORS as error:
            get_logger().info("leases_not_released", error=type(error).__name__)

    async def renew(self) -> None:
        """
        Say that this process lives.

        Raises:
            DatabaseUnavailable: it did not hear of it.
        """
        leases = set(self._leases.values())
        await self._renew(leases - self._doubtful, LEASE_SECONDS)
        await self._renew(leases & self._doubtful, SUSPECT_LEASE_SECONDS)

    async def _shorten(self, lease: str, messages: Sequence[IncomingMessage]) -> None:
        if any(message.deliveries > 1 for message in messages):
            self._doubtful.add(lease)
            with suppress(*DATABASE_ERRORS):
                await self._renew({lease}, SUSPECT_LEASE_SECONDS)

    async def _renew(self, leases: Collection[str], seconds: float) -> None:
        if not leases:
            return
        try:
            await self.database.execute(
                QUERIES["renew"], list(leases), timedelta(seconds=seconds), within_seconds=LEASE_SECONDS / 2
            )
        except BaseException:
            self._failed_at = self.clock()
            raise

    async def _lease(
        self, lease: str, finished: Sequence[str], most: int, least_age_seconds: float
    ) -> Sequence[Record]:
        is_whole = self._marks.begin()
        rows = await self.database.fetch(
            QUERIES["lease"],
            lease,
            finished,
            most,
            timedelta(seconds=least_age_seconds),
            timedelta(seconds=LEASE_SECONDS),
            self._spare(),
            _FOR_EVER if is_whole else _LOOKBACK,
            self._marks.untried,
            self._marks.tried,
        )
        if rows:  # none: another processor was looking at the same moment
            self._marks.move(rows[0]["untried_from"], rows[0]["tried_from"], rows[0]["asked_at"])
        return rows

    def _spare(self) -> timedelta:
        """While PostgreSQL was away no lease could be renewed: for some seconds none counts as one of the dead."""
        is_fresh = self.clock() - self._failed_at < _AFTER_FAILURE_SECONDS
        return timedelta(hours=1) if is_fresh else timedelta(0)


@dataclass(frozen=True, slots=True)
class _NoReply:
    reply: str = ""
    headers: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))


def _message(row: Record, lease: str) -> IncomingMessage:
    """The message that the relay would have published, by reference; a suspect's looks like one that came again."""
    event = StripeEvent(
        stripe_event_id=row["stripe_event_id"],
        type=row["webhook_type"],
        created=row["created"],
        livemode=bool(row["livemode"]),
        account=row["stripe_account_id"],
        api_version=row["api_version"],
        object_id=row["object_id"],
        tenant=row["tenant"],
        body=b"",
    )
    return IncomingMessage(
        subject=subject_for(event),
        payload=encode(Envelope(event, row["processing_attempts"])),
        deliveries=2 if row["is_suspect"] else 1,
        sequence=0,
        stored_at_nanoseconds=0,
        _message=_NoReply(reply=lease),
        _acknowledge=_acknowledge,
    )


def _acknowledge(_: Sequence[str]) -> None:
    """The row itself says what became of it."""
