"""Tables and handlers of a shop beside Sluice's own: what a package of a user's might bring."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
import orjson

import processor.handlers
from processor.failures.failure_store import FailureStore
from processor.failures.retry_policy import Schedule
from processor.operations.rehearse import Asked, Rehearsals
from processor.worker.dispatcher import Dispatcher
from processor.worker.transaction import Processor
from sluice.contract.event import StripeEvent
from sluice.operations.diff import Diff
from sluice.operations.verbs import Verb
from sluice.outcomes import Applied, Ignored, Outcome, Parked
from sluice.postgres.pool import Database
from sluice.registry import REGISTRY, Registry, Transaction, discover, handles, handles_batch
from sluice.rehearsal import is_rehearsal

TABLES = """
CREATE TABLE customer_point (stripe_event_id text, points int);
CREATE TABLE counter (name text PRIMARY KEY, count int NOT NULL);
INSERT INTO counter VALUES ('charges', 0);
CREATE TABLE ticket (id text PRIMARY KEY);
CREATE TABLE ticket_of (ticket_id text REFERENCES ticket DEFERRABLE INITIALLY DEFERRED, stripe_event_id text);
GRANT SELECT, INSERT, UPDATE, DELETE ON customer_point, counter, ticket, ticket_of TO sluice_processor;
"""


class Refused(Exception):
    """The shop does not like this one."""


@dataclass
class Shop:
    """Handlers of a shop, and what they did outside PostgreSQL."""

    mails: list[str] = field(default_factory=list)
    mails_withheld: list[str] = field(default_factory=list)
    hangs_at: str | None = None

    def registry(self) -> Registry:
        """Sluice's own handlers, then these."""
        registry = discover(processor.handlers).only(lambda _: True)
        assert registry is not REGISTRY
        handles_batch("charge.succeeded", "charge.refunded", registry=registry)(self.give_points)
        handles("payment_intent.succeeded", registry=registry)(self.write_ticket)
        handles("refund.created", registry=registry)(self.refuse_some)
        handles("payment_intent.created", registry=registry, acts_outside=True)(self.send_mail)
        handles("payment_intent.processing", registry=registry)(self.send_mail_unless_rehearsed)
        handles("shop.hangs", registry=registry)(self.hang)
        handles("shop.renames", registry=registry)(self.rename)
        handles("shop.waits", registry=registry)(self.wait)
        return registry

    async def give_points(self, events: Sequence[StripeEvent], tx: Transaction) -> Mapping[str, Outcome]:
        """One row for each, an update, and something that is rolled back to a savepoint."""
        for event in events:
            await tx.execute("INSERT INTO customer_point VALUES ($1, 1)", event.stripe_event_id)
            await tx.execute("UPDATE counter SET count = count + 1")
        return {event.stripe_event_id: Applied() for event in events}

    async def write_ticket(self, event: StripeEvent, tx: Transaction) -> None:
        """The reference comes first: only the commit looks at it. Of one amount the ticket is forgotten."""
        await tx.execute("INSERT INTO ticket_of VALUES ($1, $1)", event.stripe_event_id)
        if event.object.get("amount_received") != 1900:
            await tx.execute("INSERT INTO ticket VALUES ($1)", event.stripe_event_id)

    async def refuse_some(self, event: StripeEvent, tx: Transaction) -> Outcome:
        """Write, then fail for one amount."""
        await tx.execute("INSERT INTO customer_point VALUES ($1, -1)", event.stripe_event_id)
        if event.object.get("amount") == 3000:
            raise Refused
        return Ignored("nothing to do")

    async def send_mail(self, event: StripeEvent, _: Transaction) -> None:
        """Act outside PostgreSQL."""
        self.mails.append(event.stripe_event_id)

    async def send_mail_unless_rehearsed(self, event: StripeEvent, tx: Transaction) -> None:
        """Write; and act outside PostgreSQL where that is meant."""
        await tx.execute("INSERT INTO customer_point VALUES ($1, 5)", event.stripe_event_id)
        (self.mails_withheld if is_rehearsal() else self.mails).append(event.stripe_event_id)

    async def hang(self, event: StripeEvent, tx: Transaction) -> None:
        """Swallow the cancellation, and lose the connection for that."""
        await tx.execute("INSERT INTO customer_point VALUES ($1, 7)", event.stripe_event_id)
        while self.hangs_at in (None, event.stripe_event_id):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    async def rename(self, _: StripeEvent, tx: Transaction) -> None:
        """Write to a row of events that no payment is about."""
        await tx.execute("UPDATE events SET payment_status = 'mine' WHERE name = 'Harbour'")

    async def wait(self, event: StripeEvent, tx: Transaction) -> Outcome:
        """Wait for a row that never comes."""
        await tx.execute("INSERT INTO customer_point VALUES ($1, 9)", event.stripe_event_id)
        return Parked("row 7")


@dataclass(frozen=True)
class Stage:
    """A processor's parts on a database."""

    database: Database
    shop: Shop = field(default_factory=Shop)
    handler_seconds: float = 4

    def processor(self) -> Processor:
        """As a processor has it."""
        return Processor(self.database, Dispatcher(self.shop.registry(), handler_seconds=self.handler_seconds))

    def failures(self) -> FailureStore:
        """As a processor has it."""
        return FailureStore(self.database, Schedule())

    def rehearsals(self) -> Rehearsals:
        """As a processor has it."""
        return Rehearsals(self.database, self.processor(), Schedule(), self.shop.registry())

    async def rehearse(
        self,
        items: Sequence[str],
        *,
        verb: Verb = Verb.REPLAY,
        handler: str | None = None,
        noted: list[str] | None = None,
    ) -> Diff:
        """Ask of these webhooks."""

        async def note(item: str) -> None:
            if noted is not None:
                noted.append(item)

        return await self.rehearsals().answer(Asked(1, verb, handler, items, "ada", starts=1), note)


Snapshot = Mapping[str, Mapping[tuple[str, ...], Mapping[str, object]]]
"""Rows by table and key."""

_VOLATILE = {"updated_at", "opened_at", "id"}
_KEYS = {
    "payment": ("scope", "payment_id"),
    "payment_fact": ("scope", "payment_id", "stripe_event_id"),
    "invoice": ("scope", "invoice_id"),
    "subscription": ("scope", "subscription_id"),
    "events": ("id",),
}


async def snapshot(connection: "asyncpg.Connection[asyncpg.Record]") -> Snapshot:
    """Every row of the tables that are told in full, but for times of writing."""
    found = {}
    for table, key in _KEYS.items():
        rows = [orjson.loads(row[0]) for row in await connection.fetch(f"SELECT to_jsonb(t)::text FROM {table} AS t")]  # noqa: S608
        hidden = (_VOLATILE - {"id"} | {"webhook_secret"}) if table == "events" else _VOLATILE
        found[table] = {
            tuple(str(row[name]) for name in key): {name: v for name, v in row.items() if name not in hidden}
            for row in rows
        }
    return found
