"""Thin events, their snapshot twins, and a reconciler that fetches them, on a test's own database."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from reconciler.thin.fetches import ThinFetches
from sluice.contract.document import Json
from sluice.contract.event import StripeEvent
from sluice.error_log.error_log import ErrorLog
from sluice.inbox import claims
from sluice.postgres.pool import Database, Record
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from tests.reconciler.asking import PLENTY, asking
from tests.reconciler.passing import deliver
from tests.stripe_world import TEST_KEY

NOW = int(time.time()) - 60


def snapshot(number: int = 1, *, account: str | None = None, status: str = "succeeded") -> bytes:
    """``evt_{number}``: a payment intent succeeded, in test mode."""
    return orjson.dumps(
        {
            "id": f"evt_{number}",
            "object": "event",
            **({"account": account} if account else {}),
            "api_version": "2026-10-28.endive",
            "created": NOW,
            "data": {"object": intent(number, status=status)},
            "livemode": False,
            "type": "payment_intent.succeeded",
        }
    )


def intent(number: int = 1, *, status: str = "succeeded") -> dict[str, Json]:
    """The object of that event."""
    return {
        "id": f"pi_{number}",
        "object": "payment_intent",
        "created": NOW,
        "amount": 4200,
        "amount_received": 4200,
        "currency": "eur",
        "status": status,
        "metadata": {},
    }


def thin(number: int = 1, *, account: str | None = None, **other: Json) -> bytes:
    """``evt_thin_{number}``, its thin twin as Stripe sends it."""
    path = f"/v1/payment_intents/pi_{number}"
    body: dict[str, Json] = {
        "id": f"evt_thin_{number}",
        "object": "v2.core.event",
        "type": "v1.payment_intent.succeeded",
        "created": datetime.fromtimestamp(NOW, UTC).isoformat().replace("+00:00", "Z"),
        "livemode": False,
        **({"context": account} if account else {}),
        "related_object": {"id": f"pi_{number}", "type": "payment_intent", "url": path},
    }
    return orjson.dumps(body | other)


@dataclass(frozen=True)
class Fetching:
    """Fetches that a test runs one by one."""

    database: Database
    fetches: ThinFetches
    world: OfflineStripe
    errors: ErrorLog

    async def wait(self, *bodies: bytes) -> None:
        """Record thin events as ingest does, and let them wait as the processor does."""
        await deliver(self.database, *bodies)
        await settle_fetching(self.database, [str(orjson.loads(body)["id"]) for body in bodies])

    async def run(self) -> None:
        """Try all that wait, whether their pause is over or not."""
        await self.database.execute("UPDATE thin_fetch SET next_try_at = now()")
        await self.fetches.run_once()

    async def row(self, event_id: str) -> Record:
        """One row of the log."""
        (row,) = await self.database.fetch(
            "SELECT *, sluice_body(body, body_id) AS whole_body FROM webhook_logs WHERE stripe_event_id = $1", event_id
        )
        return row

    async def waiting(self) -> Sequence[Record]:
        """Read the rows of all that wait."""
        return await self.database.fetch("SELECT * FROM thin_fetch ORDER BY stripe_event_id")

    async def outcome(self, event_id: str = "evt_thin_1") -> tuple[object, object, object]:
        """Read of a row: processed, outcome, and whether it is dead."""
        row = await self.row(event_id)
        return row["processed"], row["outcome"], row["dead_at"] is not None


async def settle_fetching(database: Database, ids: Sequence[str]) -> None:
    """Let recorded thin events wait, as the processor does."""
    async with database.acquire() as tx, tx.transaction():
        claimed_in: str = await tx.fetchval("SELECT pg_current_xact_id()::text")
        assert sorted(await claims.settle_fetching(tx, ids, claimed_in)) == sorted(ids)


@asynccontextmanager
async def fetching(
    database: Database, world: OfflineStripe, *, as_reconciler: Database | None = None, key: str | None = TEST_KEY
) -> AsyncIterator[Fetching]:
    """
    Fetches from an offline Stripe.

    Args:
        as_reconciler: a pool with the reconciler's own rights.
    """
    errors = ErrorLog("postgresql://nobody@127.0.0.1:1/none", service="reconciler")
    async with asking(world, key=key, per_second=PLENTY, request_seconds=2) as api:
        fetches = ThinFetches.over(as_reconciler or database, {False: api, True: api}, errors)
        yield Fetching(database, fetches, world, errors)


def event_of(row: Record) -> StripeEvent:
    """The event that a row holds, as a handler gets it."""
    return StripeEvent(
        stripe_event_id=row["stripe_event_id"],
        type=row["webhook_type"],
        created=int(row["stripe_created_at"].timestamp()),
        livemode=row["livemode"],
        account=row["stripe_account_id"],
        api_version=row["api_version"],
        object_id=row["object_id"],
        tenant=row["tenant"],
        body=bytes(row["whole_body"]),
    )
