"""The reconciler as a process: it finds what never arrived, and dies anywhere without a loss."""

import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from devstack.child import Child, Command
from devstack.options import ROOT
from devstack.ports import free_port
from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from sluice.simulator.stripe_api.server import serve
from tests.reconciler.passing import deliver, logged
from tests.reconciler.thin.fetching import NOW, settle_fetching, snapshot, thin
from tests.stripe_world import TEST_KEY, bare_event, offline_stripe
from tests.waiting import until

EVENTS = 1_500
THIN = 200
ALL = {f"evt_{number}" for number in range(EVENTS)}


@asynccontextmanager
async def reconciler(database_url: str, base: str, folder: Path, **settings: str) -> AsyncIterator[Child]:
    """One process, ended with the block."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "DATABASE_URL": database_url,
        "STRIPE_API_KEY": TEST_KEY,
        "STRIPE_API_BASE": base,
        "STRIPE_REQUESTS_PER_SECOND": "100",
        "RECONCILE_EVERY_SECONDS": "1",
        "ADMIN_PORT": str(free_port()),
        **settings,
    }
    log = folder / "reconciler.log"
    child = Child.spawn(Command("reconciler", [sys.executable, "-m", "reconciler"], environment, log, folder=ROOT))
    try:
        yield child
    finally:
        child.kill()
        await child.wait(within_seconds=10)


@pytest.fixture
def world() -> OfflineStripe:
    """Many events in the last minutes, none of them delivered."""
    stripe = offline_stripe()
    now = int(time.time())
    for number in range(EVENTS):
        stripe.happened(bare_event(number, created=now - 600 + number // 5))
    return stripe


async def _is_behind_or_complete(database: Database) -> bool:
    """Whether the watermark stands before the events, or all of them are in the log."""
    rows = await database.fetch(
        "SELECT complete_until < now() - interval '30 minutes' AS is_behind FROM reconcile_account"
    )
    return all(row["is_behind"] for row in rows) or set(await logged(database)) >= ALL


async def test_a_killed_reconciler_is_never_ahead_of_what_is_committed(
    database: Database, role_url: Callable[[str], str], world: OfflineStripe, tmp_path: Path
) -> None:
    """Killed after any number of requests, it leaves the watermark behind; the next one finishes its pass."""
    async with serve(world) as base:
        for requests in (1, 3, 4, 9):
            world.requests.clear()
            await database.execute("UPDATE reconcile_lease SET until = '-infinity'")  # as if its seconds had passed
            async with reconciler(role_url("reconciler"), base, tmp_path) as child:
                await until(lambda wanted=requests: len(world.requests) >= wanted, within_seconds=30)  # type: ignore[misc]
                child.kill()
            assert await _is_behind_or_complete(database)
        await database.execute("UPDATE reconcile_lease SET until = '-infinity'")
        async with reconciler(role_url("reconciler"), base, tmp_path):
            await until(lambda: _all_logged(database), within_seconds=40)
    (row,) = await database.fetch("SELECT count(*) AS found FROM webhook_found")
    assert row["found"] == EVENTS


async def _all_logged(database: Database) -> bool:
    return set(await logged(database)) == ALL


_HALF_DONE = """
SELECT stripe_event_id FROM (
    SELECT thin.stripe_event_id, thin.outcome = 'fetched' AS is_over,
           EXISTS (SELECT FROM webhook_logs AS twin
                   WHERE twin.stripe_event_id = replace(thin.stripe_event_id, '_thin', '')) AS has_fact,
           EXISTS (SELECT FROM thin_fetch AS waits WHERE waits.stripe_event_id = thin.stripe_event_id) AS waits
    FROM webhook_logs AS thin WHERE thin.webhook_type LIKE 'v1.%'
) AS stands
WHERE is_over <> has_fact OR is_over = waits
"""
"""Thin events whose end, whose fact and whose wait do not say the same."""
_HOLD = "SELECT FROM webhook_logs WHERE outcome = 'fetching' ORDER BY stripe_event_id LIMIT $1 FOR UPDATE"


async def test_a_reconciler_killed_while_it_fetches_leaves_nothing_half_done(
    database: Database, role_url: Callable[[str], str], tmp_path: Path
) -> None:
    """A thin event is fetched, its fact is in the log and it waits no more, all three or none; in the end all are."""
    stripe = offline_stripe()
    bodies = [thin(number) for number in range(1, THIN + 1)]
    for number, body in enumerate(bodies, start=1):
        stripe.happened_thinly(body, snapshot_event=f"evt_{number}", created=NOW)
    await deliver(database, *bodies)
    await settle_fetching(database, [f"evt_thin_{number}" for number in range(1, THIN + 1)])
    for number in range(1, THIN + 1):
        stripe.happened(snapshot(number))
    settings = {"RECONCILE_ACCOUNTS_EXCLUDED": "platform"}  # else a pass would bring the facts at once
    async with serve(stripe) as base:
        for requests in (2, 9, 31):
            stripe.requests.clear()
            await database.execute("UPDATE reconcile_lease SET until = '-infinity'")
            async with (
                database.acquire() as other,
                other.transaction(),
                reconciler(role_url("reconciler"), base, tmp_path, **settings) as child,
            ):
                await other.execute(_HOLD, requests)
                await until(lambda wanted=requests: _fetches(stripe) >= wanted, within_seconds=30)  # type: ignore[misc]
                await until(lambda: _is_about_to_commit(database), within_seconds=30)
                child.kill()
                await child.wait(within_seconds=10)
            assert await database.fetch(_HALF_DONE) == []
        await database.execute("UPDATE reconcile_lease SET until = '-infinity'")
        async with reconciler(role_url("reconciler"), base, tmp_path, **settings):
            await until(lambda: _has_fetched_all(database), within_seconds=40)
    assert await database.fetch(_HALF_DONE) == []
    (row,) = await database.fetch("SELECT count(*) AS found FROM webhook_found WHERE source = 'thin'")
    assert row["found"] == THIN


async def _is_about_to_commit(database: Database) -> bool:
    """Whether a fetch has recorded its fact, and waits for our lock on the thin event's row."""
    (row,) = await database.fetch(
        "SELECT count(*) AS waiting FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(row["waiting"])


def _fetches(stripe: OfflineStripe) -> int:
    return sum("/events/evt_" in asked for asked in stripe.requests)


async def _has_fetched_all(database: Database) -> bool:
    (row,) = await database.fetch("SELECT count(*) AS waits FROM thin_fetch")
    return bool(row["waits"] == 0)
