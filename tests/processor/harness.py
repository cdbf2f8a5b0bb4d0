"""A processor with handlers of the test's own, on a real PostgreSQL; messages are handed to it by hand."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from asyncpg import Record

from processor.failures.database_gate import DatabaseGate
from processor.failures.failure_store import FailureStore
from processor.failures.isolated_runs import IsolatedRuns
from processor.failures.retry_policy import Patience, Schedule
from processor.worker.dispatcher import Dispatcher
from processor.worker.reporter import Reporter
from processor.worker.transaction import Limits, Processor
from processor.worker.worker import Pauses, Worker
from sluice.contract import codec
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.error_log.error_log import ErrorLog
from sluice.failures import DatabaseUnavailable
from sluice.nats.jetstream import IncomingMessage
from sluice.postgres.pool import Database
from sluice.registry import Registry, Transaction, handles

EFFECTS = "CREATE TABLE effect (stripe_event_id text NOT NULL, pid int NOT NULL DEFAULT pg_backend_pid())"
RECORD = """
INSERT INTO webhook_logs (stripe_event_id, webhook_type, livemode, stripe_created_at, stripe_account_id, api_version,
                          object_id, tenant, body, next_attempt_at, published_at, publications, processing_attempts)
VALUES ($1, $2, $3, to_timestamp($4::bigint), $5, $6, $7, $8, $9, now() + interval '5 seconds', now(), 1, $10)
"""
_numbers = itertools.count(1)


def event(event_type: str = "test.effect", *, event_id: str | None = None, livemode: bool = True) -> StripeEvent:
    """A small verified event."""
    number = next(_numbers)
    body = {
        "id": event_id or f"evt_{number:06}",
        "object": "event",
        "type": event_type,
        "created": 1_790_000_000,
        "livemode": livemode,
        "api_version": "2026-10-28.endive",
        "data": {"object": {"id": f"ch_{number}", "object": "charge", "amount": 4200}},
    }
    return read_event(json.dumps(body).encode())


def thin_event(event_id: str, event_type: str = "v1.test.effect", *, tenant: str | None = None) -> StripeEvent:
    """A notification of Stripe's API v2, which carries no object."""
    body = {
        "id": event_id,
        "object": "v2.core.event",
        "type": event_type,
        "created": "2026-11-01T10:00:00Z",
        "livemode": True,
        "related_object": {"id": "pi_1", "type": "payment_intent", "url": "/v1/payment_intents/pi_1"},
    }
    return read_event(json.dumps(body).encode(), tenant=tenant)


class AsItCame(NamedTuple):
    """A message as it came."""

    reply: str
    headers: Mapping[str, str] = MappingProxyType({})


@dataclass
class Message:
    """One message by hand, which knows whether it was acknowledged."""

    event: StripeEvent
    attempt: int = 0
    deliveries: int = 1
    payload: bytes | None = None
    acknowledgements: int = 0
    words: list[bytes] = field(default_factory=list)
    """What else the processor said of it."""

    def incoming(self) -> IncomingMessage:
        """The message as the processor gets it."""
        number = next(_numbers)
        reply = AsItCame(f"$JS.ACK.{number}")
        _BY_REPLY[reply.reply] = self
        envelope = codec.Envelope(self.event, self.attempt)
        return IncomingMessage(
            subject="stripe.live.platform.test",
            payload=codec.encode(envelope) if self.payload is None else self.payload,
            deliveries=self.deliveries,
            sequence=number,
            stored_at_nanoseconds=time.time_ns(),
            _message=reply,
            _acknowledge=_acknowledge,
            _say=_say,
        )

    @property
    def is_acknowledged(self) -> bool:
        """Whether the processor said that it is done with it."""
        return self.acknowledgements > 0

    def again(self) -> "Message":
        """The same message as JetStream delivers it after ``ack_wait``."""
        return replace(self, deliveries=self.deliveries + 1, acknowledgements=0, words=[])


_BY_REPLY: dict[str, Message] = {}


def _acknowledge(replies: Sequence[str]) -> None:
    for reply in replies:
        _BY_REPLY[reply].acknowledgements += 1


def _say(replies: Sequence[str], word: bytes) -> None:
    for reply in replies:
        _BY_REPLY[reply].words.append(word)


@dataclass
class Harness:
    """Everything that a test of the processor turns on."""

    database: Database
    errors: ErrorLog
    registry: Registry = field(default_factory=Registry)
    schedule: Schedule = field(default_factory=Schedule)
    patience: Patience = field(default_factory=Patience)
    limits: Limits = field(default_factory=Limits)
    handler_seconds: float = 4
    is_production: bool = False
    solo_starts: int = 3
    hold_seconds: float = 10
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    pauses: Pauses | None = None

    def worker(self) -> Worker:
        """One processor; several of them share the rows as several processes do."""
        dispatcher = Dispatcher(self.registry, self.is_production, self.handler_seconds)
        return Worker(
            processor=Processor(self.database, dispatcher, self.limits, self.patience),
            failure_store=FailureStore(self.database, self.schedule, self.patience),
            isolated_runs=IsolatedRuns(self.database, self.solo_starts),
            reporter=Reporter(self.errors, self.registry.types),
            database_gate=DatabaseGate(self.database, self.stop),
            stop=self.stop,
            hold_seconds=self.hold_seconds,
            pauses=self.pauses,
        )

    async def take(self, *messages: Message) -> None:
        """One turn of one processor, with messages that the relay has just published."""
        with contextlib.suppress(DatabaseUnavailable):  # some tests have stopped it
            await self.relay(*(message.event for message in messages))
        await self.worker().take([message.incoming() for message in messages])

    async def record(self, *events: StripeEvent, attempts: int = 0) -> None:
        """Record as ingest does: one row for each event."""
        async with self.database.acquire() as connection:
            await connection.executemany(RECORD, [columns_of(each, attempts) for each in events])

    async def relay(self, *events: StripeEvent) -> None:
        """Publish rows that were tried as the relay does, whether they are due or not."""
        tried = [each.stripe_event_id for each in events]
        await self.database.execute(
            "UPDATE webhook_logs SET published_at = now() "
            "WHERE stripe_event_id = ANY ($1) AND published_at IS NULL AND NOT processed",
            tried,
        )

    async def recorded(self, *events: StripeEvent) -> Sequence[Message]:
        """Rows for these events, and the first message of each."""
        await self.record(*events)
        return [Message(each) for each in events]

    async def row(self, of: StripeEvent) -> Record:
        """The row of one event in ``webhook_logs``."""
        rows = await self.database.fetch("SELECT * FROM webhook_logs WHERE stripe_event_id = $1", of.stripe_event_id)
        return rows[0]

    async def effects(self) -> Mapping[str, int]:
        """How often each event took effect; the table would take it twice."""
        rows = await self.database.fetch("SELECT stripe_event_id, count(*) AS times FROM effect GROUP BY 1")
        return {row["stripe_event_id"]: row["times"] for row in rows}

    async def set_row(self, of: StripeEvent, assignment: str) -> None:
        """Change one row behind the processor's back."""
        await self.database.execute(
            f"UPDATE webhook_logs SET {assignment} WHERE stripe_event_id = $1",  # noqa: S608 - a test's own text
            of.stripe_event_id,
        )

    async def store_errors(self) -> None:
        """Let the error log write what it was told so far."""
        done = asyncio.Event()
        done.set()
        await self.errors.run(done)

    async def error_rows(self) -> Sequence[Record]:
        """Rows that the error log stored so far."""
        await self.store_errors()
        return await self.database.fetch("SELECT * FROM error_logs ORDER BY id")


def columns_of(e: StripeEvent, attempts: int = 0) -> Sequence[object]:
    """The arguments of ``RECORD``: what ingest writes of an event."""
    about = (e.stripe_event_id, e.type, e.livemode, e.created, e.account, e.api_version, e.object_id, e.tenant, e.body)
    return (*about, attempts)


async def write_effect(of: StripeEvent, tx: Transaction) -> None:
    """The plainest handler: one row that nothing keeps from being there twice."""
    await tx.execute("INSERT INTO effect (stripe_event_id) VALUES ($1)", of.stripe_event_id)


def with_effects(registry: Registry, *types: str, organisers: bool = False) -> Registry:
    """Let these types have the plain effect."""
    handles(*(types or ("test.effect",)), organisers=organisers, registry=registry)(write_effect)
    return registry


def flat(seconds: float) -> Callable[[float], float]:
    """A schedule's spread that always waits this long."""
    return lambda _: seconds
