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
from tests.reconciler.passing import logged
from tests.stripe_world import TEST_KEY, bare_event, offline_stripe
from tests.waiting import until

EVENTS = 1_500
ALL = {f"evt_{number}" for number in range(EVENTS)}


@asynccontextmanager
async def reconciler(database_url: str, base: str, folder: Path) -> AsyncIterator[Child]:
    """One process, ended with the block."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "DATABASE_URL": database_url,
        "STRIPE_API_KEY": TEST_KEY,
        "STRIPE_API_BASE": base,
        "STRIPE_REQUESTS_PER_SECOND": "100",
        "RECONCILE_EVERY_SECONDS": "1",
        "ADMIN_PORT": str(free_port()),
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
