"""Events as messages on the stream: the fresh ones, off the request's path, and whatever the sweep hands over."""

import asyncio
import hashlib
import random
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from ingest import metrics
from ingest.rate_limited_log import RATE_LIMITED_LOG
from ingest.relay.failed_publications import FailedPublications
from ingest.relay.parts import parts
from sluice.contract.codec import Envelope, cloudevents_headers, encode
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import message_id, subject_for
from sluice.failures import StreamUnavailable
from sluice.nats.broker import Broker, Published
from sluice.nats.types import OutgoingMessage

HEADROOM_BYTES = 8 * 1024
"""What a message needs beside its body: the envelope's fields and the headers, all of bounded length."""


@dataclass(frozen=True, slots=True)
class PublisherLimits:
    """How many publications are under way at once, how much waits for them, and for how long it is worth publishing."""

    concurrent: int = 32
    together_rows: int = 64
    together_bytes: int = 1024 * 1024
    """What is sent in one piece; one message at least."""
    waiting_rows: int = 10_000
    waiting_bytes: int = 32 * 1024 * 1024
    publish_seconds: float = 3
    """Must be less than the sweep's margin, within which a row counts as on its way."""


class Publication(NamedTuple):
    """One event to be published, for the ``publication``-th time, as attempt ``attempt``."""

    event: StripeEvent
    attempt: int
    publication: int
    reason: str
    """``fresh``, or why the sweep sends it: due, passed, overdue."""


def _body_bytes(publication: Publication) -> int:
    return len(publication.event.body)


class _Fresh(NamedTuple):
    publications: Sequence[Publication]
    since: float


class Publisher:
    """
    Publishes events.

    A fresh row was written as published; should its publication fail, or be dropped because too many wait, it is noted
    in ``failed_publications``, and the sweep publishes it after a few seconds.
    """

    def __init__(self, stream: Broker, *, limits: PublisherLimits | None = None) -> None:
        self._stream = stream
        self._limits = limits or PublisherLimits()
        self._fresh: deque[_Fresh] = deque()
        self._under_way = 0
        self._rows = self._bytes = 0
        self.failed_publications = FailedPublications(self._limits.waiting_rows)

    @property
    def waiting_rows(self) -> int:
        """Fresh events that wait to be sent."""
        return self._rows

    @property
    def body_bytes_max(self) -> int:
        """The longest body that travels with its message."""
        return self._stream.max_payload - HEADROOM_BYTES

    def hand_over(self, events: Sequence[StripeEvent]) -> None:
        """Publish these soon, or leave them to the sweep; never blocks."""
        if not self._stream.is_connected:
            self._leave(events, "away")
            return
        now = time.monotonic()
        taken = [Publication(event, attempt=0, publication=1, reason="fresh") for event in events if self._admit(event)]
        self._fresh.extend([_Fresh(together, now) for together in self._parts(taken)])
        asyncio.get_running_loop().call_soon(self._send_fresh)  # after the answers to the requests

    async def publish_all(self, publications: Sequence[Publication], *, within_seconds: float) -> int:
        """Publish these, many at a time; how many were stored. Stops early when JetStream goes away or time is up."""
        together = list(self._parts(publications))
        pieces = _Pieces(iter(together))
        try:
            async with asyncio.timeout(within_seconds), asyncio.TaskGroup() as group:
                for _ in range(min(self._limits.concurrent, len(together))):
                    group.create_task(self._publish_some(pieces))
        except TimeoutError:
            metrics.RELAY_UNPUBLISHED.labels("too_late").inc()
        return pieces.stored

    def _admit(self, event: StripeEvent) -> bool:
        if self._rows >= self._limits.waiting_rows or self._bytes > self._limits.waiting_bytes:
            self._leave([event], "dropped")
            return False
        self._rows += 1
        self._bytes += len(event.body)
        return True

    def _parts(self, publications: Sequence[Publication]) -> Iterator[Sequence[Publication]]:
        """Split publications into pieces that are sent together."""
        limits = self._limits
        return parts(publications, _body_bytes, most_bytes=limits.together_bytes, most_items=limits.together_rows)

    def _send_fresh(self) -> None:
        """Send what waits, up to the limit of pieces under way."""
        while self._fresh and self._under_way < self._limits.concurrent:
            publications, since = self._fresh.popleft()
            self._rows -= len(publications)
            self._bytes -= sum([len(publication.event.body) for publication in publications])
            if time.monotonic() - since > self._limits.publish_seconds / 2 or not self._stream.is_connected:
                self._leave([publication.event for publication in publications], "too_late")
            else:
                self._send(publications)

    def _send(self, publications: Sequence[Publication]) -> None:
        publications, messages = self._messages(publications)
        self._under_way += 1
        try:
            self._stream.send_many(
                messages, partial(self._sent, publications), within_seconds=self._limits.publish_seconds
            )
        except StreamUnavailable as failure:
            self._sent(publications, [failure] * len(publications))

    def _sent(self, publications: Sequence[Publication], outcomes: Sequence[Published]) -> None:
        self._under_way -= 1
        self._note(publications, outcomes)
        if self._fresh:
            asyncio.get_running_loop().call_soon(self._send_fresh)

    async def _publish_some(self, pieces: "_Pieces") -> None:
        for together in pieces.rest:
            if not self._stream.is_connected:
                return
            stored = await self._publish(together)
            pieces.stored += stored  # not in one line: `+=` reads before it awaits

    async def _publish(self, publications: Sequence[Publication]) -> int:
        """Publish these in one piece; how many were stored now. A duplicate is not: JetStream stored nothing."""
        publications, messages = self._messages(publications)
        outcomes: Sequence[Published]
        try:
            outcomes = await self._stream.publish_many(messages, within_seconds=self._limits.publish_seconds)
        except StreamUnavailable as failure:
            outcomes = [failure] * len(messages)
        self._note(publications, outcomes)
        return outcomes.count(True)

    def _note(self, publications: Sequence[Publication], outcomes: Sequence[Published]) -> None:
        """Count what became of these, and remember those that a sweep has to send."""
        stored = Counter([one.reason for one, outcome in zip(publications, outcomes, strict=True) if outcome is True])
        for reason, number in stored.items():
            metrics.published(reason).inc(number)
        for publication, outcome in zip(publications, outcomes, strict=True):
            if outcome is not True:
                self._note_unpublished(publication, outcome)

    def _note_unpublished(self, publication: Publication, outcome: Published) -> None:
        if isinstance(outcome, StreamUnavailable):
            metrics.RELAY_UNPUBLISHED.labels("unavailable").inc()
            if publication.publication == 1:
                self.failed_publications.add(publication.event)
        elif isinstance(outcome, ValueError):  # it does not fit, though it should
            metrics.RELAY_UNPUBLISHED.labels("refused").inc()
            RATE_LIMITED_LOG.failed("message_does_not_fit", outcome)
        else:
            metrics.RELAY_UNPUBLISHED.labels("duplicate").inc()

    def _leave(self, events: Sequence[StripeEvent], cause: str) -> None:
        """Leave fresh events to the sweep."""
        metrics.RELAY_UNPUBLISHED.labels(cause).inc(len(events))
        for event in events:
            self.failed_publications.add(event)

    def _messages(self, publications: Sequence[Publication]) -> tuple[list[Publication], list[OutgoingMessage]]:
        """Those that can be sent, and their messages; one that cannot be sent delays and stops no other."""
        sendable: list[Publication] = []
        messages: list[OutgoingMessage] = []
        for publication in publications:
            try:
                messages.append(self._message(publication))
            except Exception as error:  # noqa: BLE001  read_event lets nothing in that cannot be sent; should it, say so
                metrics.RELAY_UNPUBLISHED.labels("refused").inc()
                RATE_LIMITED_LOG.failed("message_cannot_be_made", error)
            else:
                sendable.append(publication)
        return sendable, messages

    def _message(self, publication: Publication) -> OutgoingMessage:
        event = publication.event
        envelope = Envelope(event=event, attempt=publication.attempt)
        if len(event.body) > self.body_bytes_max:
            metrics.RELAY_BY_REFERENCE.inc()
            envelope = envelope.by_reference()
        return OutgoingMessage(
            subject=subject_for(event),
            message_id=message_id(event, publication=publication.publication),
            payload=encode(envelope),
            headers={**cloudevents_headers(event), "traceparent": traceparent(event)},
        )


@dataclass(slots=True)
class _Pieces:
    """Pieces that several tasks publish together."""

    rest: Iterator[Sequence[Publication]]
    stored: int = 0


def traceparent(event: StripeEvent) -> str:
    """
    A W3C trace context: one trace for each webhook, the same in every publication of it; a new span for each.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    trace = hashlib.blake2b(event.stripe_event_id.encode(), digest_size=16, person=b"sluice-trace").hexdigest()
    return f"00-{trace}-{random.getrandbits(64) or 1:016x}-01"
