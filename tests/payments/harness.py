"""A harness for the ledger on a real database: rows, events, and reads of what was written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from processor.payments.billing import keep_invoices, keep_subscriptions
from processor.payments.ledger import apply_facts, reconsider
from processor.payments.row_watch import RowWatch
from sluice.contract.event import StripeEvent
from sluice.outcomes import Outcome
from tests.payments.strategies import CELLAR, HARBOUR

if TYPE_CHECKING:
    from sluice.registry import Transaction

ACCOUNT = "acct_1Organiser"
_TABLES: Mapping[str, str] = {
    "payment": (
        "scope, payment_id, parent_id, events_id, bound_by, status, rank, awaits_event, awaits, opened_at IS NULL"
    ),
    "(SELECT * FROM payment_fact WHERE kind <> 'stored') AS payment_fact": (
        "scope, payment_id, stripe_event_id, said_at, kind, object_id, status, amount, amount_captured, currency, "
        "object_created_at, parent_id, names_event, named_by, refers_to, amount_released, destination, on_behalf_of"
    ),
    "events": "id::text, payment_status, stripe_payment_intent_id",
    "subscription": (
        "scope, subscription_id, status, events_id, current_period_end, cancel_at_period_end, cancel_at, canceled_at, "
        "ended_at, trial_end, said_at, stripe_event_id, newest_second"
    ),
    "invoice": "scope, invoice_id, status, subscription_id, amount_paid, said_at, stripe_event_id, newest_second",
}


@dataclass(frozen=True)
class Harness:
    """One connection to the ledger."""

    tx: "Transaction"

    async def add_row(self, events_id: str = HARBOUR, **columns: str | None) -> None:
        """An ``events`` row, with these columns."""
        names = "".join(f", {name}" for name in columns)
        places = "".join(f", ${place}" for place in range(2, len(columns) + 2))
        await self.tx.execute(
            f"INSERT INTO events (id{names}) VALUES (sluice_event_key($1){places})",  # noqa: S608
            events_id,
            *columns.values(),
        )

    async def receive(self, *events: StripeEvent) -> None:
        """Log the webhooks, each a minute after the one before; the first stays, as in the journal."""
        for number, told in enumerate(events):
            await self.tx.execute(
                "INSERT INTO webhook_logs (stripe_event_id, webhook_type, created_at, tenant, body) "
                "VALUES ($1, $2, timestamptz '2026-10-30 12:00+00' + $3 * interval '1 minute', $4, $5) "
                "ON CONFLICT DO NOTHING",
                told.stripe_event_id,
                told.type,
                number,
                told.tenant,
                told.body,
            )

    async def apply(self, *events: StripeEvent) -> Mapping[str, Outcome]:
        """One batch through all handlers, as the processor would."""
        distinct = list({told.stripe_event_id: told for told in events}.values())
        outcomes = await apply_facts(distinct, self.tx)
        await keep_invoices([told for told in distinct if told.type.startswith("invoice.")], self.tx)
        await keep_subscriptions([told for told in distinct if told.type.startswith("customer.sub")], self.tx)
        return outcomes

    async def apply_each(self, *events: StripeEvent) -> None:
        """One batch for each event."""
        for told in events:
            await self.apply(told)

    async def look(self, limit: int = 200) -> int:
        """Let the watch over rows look once; how many payments it settled again."""
        taken = await RowWatch().take(self.tx, limit)
        await reconsider(self.tx, taken)
        return len(taken)

    async def shown(self, events_id: str = HARBOUR) -> tuple[str | None, str | None]:
        """Status and payment on a row."""
        row = await self.tx.fetchrow(
            "SELECT payment_status, stripe_payment_intent_id FROM events WHERE id = sluice_event_key($1)", events_id
        )
        assert row is not None
        return row[0], row[1]

    async def bound(self, payment_id: str) -> tuple[str | None, str | None]:
        """The row of a payment, and how it came to it."""
        row = await self.tx.fetchrow("SELECT events_id, bound_by FROM payment WHERE payment_id = $1", payment_id)
        assert row is not None
        return row[0], row[1]

    async def contents(self) -> Mapping[str, Sequence[asyncpg.Record]]:
        """
        Everything that is a function of the events: no surrogate ids, receipts and times of writing.

        Of the ledger, what events said; what rows had said before is noted when Sluice first writes to them.
        """
        return {
            table: await self.tx.fetch(f"SELECT {columns} FROM {table} ORDER BY {columns}")  # noqa: S608
            for table, columns in _TABLES.items()
        }

    async def wipe(self) -> None:
        """As it was in the beginning, but for the rows themselves."""
        await self.tx.execute("TRUNCATE payment, payment_fact, subscription, invoice, webhook_logs")
        await self.tx.execute(
            "UPDATE events "
            "SET payment_status = 'pending', stripe_payment_intent_id = NULL, last_webhook_received = NULL"
        )


async def two_rows(harness: Harness) -> None:
    """The platform's two demo rows."""
    await harness.add_row(HARBOUR)
    await harness.add_row(CELLAR)


class Counted:
    """A transaction that counts its statements."""

    def __init__(self, tx: "Transaction") -> None:
        self._tx = tx
        self.statements = 0

    def __getattr__(self, name: str) -> Any:
        if name in {"fetch", "execute", "fetchrow", "fetchval"}:
            self.statements += 1
        return getattr(self._tx, name)
