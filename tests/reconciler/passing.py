"""A reconciler's parts on a test's own database, and an offline Stripe for them."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from reconciler.account_pass import Passes
from reconciler.accounts import Account
from reconciler.lease import Lease
from reconciler.standing import Pass, Standings
from reconciler.stripe_api import StripeApi
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.error_log.error_log import ErrorLog
from sluice.inbox.recorder import record_new
from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from tests.reconciler.asking import PLENTY, asking

PLATFORM = Account(livemode=False, account=None)
HOUR = 3600


@dataclass(frozen=True)
class Delivered:
    """A webhook as ingest records it."""

    event: StripeEvent
    verified_by: str = "platform:1a2b3c4d"


@dataclass
class Reconciling:
    """Passes that a test runs one by one."""

    passes: Passes
    standings: Standings
    lease: Lease
    api: StripeApi
    world: OfflineStripe
    database: Database

    async def expect(self, *accounts: Account, first_seconds: float = HOUR) -> None:
        """Have these accounts listed."""
        await self.standings.expect(accounts or (PLATFORM,), first_seconds=first_seconds)

    async def run(self, account: Account = PLATFORM) -> Pass:
        """One pass."""
        return await self.passes.run(account)


@asynccontextmanager
async def reconciling(
    database: Database,
    world: OfflineStripe,
    *,
    key: str = "rk_test_offline",
    overlap_seconds: int = 60,
    per_second: float = PLENTY,
) -> AsyncIterator[Reconciling]:
    """A reconciler that holds the lease, with the platform's account expected from an hour ago on."""
    lease = Lease(database, lease_seconds=600)
    assert await lease._take()
    standings = Standings(database, lease.holder)
    async with asking(world, key=key, per_second=per_second) as api:
        errors = ErrorLog("postgresql://nobody@127.0.0.1:1/none", service="reconciler")
        passes = Passes(database, standings, {False: api, True: api}, errors, overlap_seconds)
        made = Reconciling(passes, standings, lease, api, world, database)
        await made.expect()
        yield made


async def deliver(database: Database, *bodies: bytes) -> None:
    """Record webhooks as ingest does, signed."""
    deliveries = [Delivered(read_event(body)) for body in bodies]
    async with database.acquire() as connection:
        deliveries.sort(key=lambda delivery: delivery.event.stripe_event_id)
        await record_new(connection, deliveries, within_seconds=5)


async def logged(database: Database) -> Collection[str]:
    """The ids in the log."""
    return {row["stripe_event_id"] for row in await database.fetch("SELECT stripe_event_id FROM webhook_logs")}


async def account_row(database: Database, account: Account = PLATFORM) -> dict[str, object]:
    """The row of one account."""
    rows = await database.fetch(
        "SELECT *, extract(epoch FROM complete_until)::bigint AS complete_at FROM reconcile_account"
        " WHERE livemode = $1 AND account = $2",
        account.livemode,
        account.name,
    )
    return dict(rows[0])
