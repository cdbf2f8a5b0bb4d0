"""A backfill with real processes, killed again and again: every object counts once, and progress is never ahead."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from devstack.child import Child, Command
from devstack.options import ROOT
from devstack.ports import free_port
from sluice.contract.document import JsonObject
from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.server import serve
from tests.reconciler.backfill.test_command import TEST_MODE, intent
from tests.reconciler.passing import logged
from tests.stripe_world import TEST_KEY, offline_stripe
from tests.system.account import SINK
from tests.waiting import until

MANY = 1_200
pytestmark = pytest.mark.timeout(180)


@asynccontextmanager
async def running(name: str, argv: list[str], environment: dict[str, str], folder: Path) -> AsyncIterator[Child]:
    """One process, killed with the block."""
    inherited = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    child = Child.spawn(
        Command(name, [sys.executable, "-m", *argv], {**inherited, **environment}, folder / f"{name}.log", folder=ROOT)
    )
    try:
        yield child
    finally:
        child.kill()
        await child.wait(within_seconds=10)


async def test_killed_processors_and_a_killed_command_leave_one_effect_of_each_object(
    database: Database, role_url: Callable[[str], str], tmp_path: Path
) -> None:
    """The processor dies in the middle of the flood, the command in the middle of a list; both go on."""
    await database.execute(SINK)
    stripe = offline_stripe()
    objects = [intent(number) for number in range(MANY)]
    for one in objects:
        stripe.put_object(one, TEST_MODE)
    processor = {"DATABASE_URL": role_url("processor"), "NATS_URL": "", "ADMIN_PORT": str(free_port())}
    async with serve(stripe) as base:
        operator = {"DATABASE_URL": role_url("reconciler"), "STRIPE_API_KEY": TEST_KEY, "STRIPE_API_BASE": base}
        command = ["sluice.ops", "backfill", "--since", "2y", "--objects", "payment_intents", "--rate", "2"]
        for part in (1, 2, 3):
            async with (
                running("processor", ["processor"], processor, tmp_path),
                running("backfill", command, operator, tmp_path),
            ):
                wanted = part * MANY // 4
                await until(lambda wanted=wanted: _has_processed(database, wanted), within_seconds=60)  # type: ignore[misc]
            assert await _is_behind(database, objects)
        async with (
            running("processor", ["processor"], processor, tmp_path),
            running("backfill", command, operator, tmp_path) as backfill,
        ):
            assert await backfill.wait(within_seconds=60) == 0
            await until(lambda: _has_processed(database, MANY), within_seconds=60)
    (row,) = await database.fetch(
        "SELECT count(*) AS effects, count(DISTINCT stripe_event_id) AS events,"
        " (SELECT count(*) FROM payment WHERE status = 'paid') AS paid,"
        " (SELECT count(*) FROM payment_fact) AS facts FROM effect"
    )
    assert dict(row) == {"effects": MANY, "events": MANY, "paid": MANY, "facts": MANY}


async def _has_processed(database: Database, count: int) -> bool:
    (row,) = await database.fetch("SELECT count(*) AS processed FROM webhook_logs WHERE processed")
    return bool(row["processed"] >= count)


async def _is_behind(database: Database, objects: Sequence[JsonObject]) -> bool:
    """Whether whatever the walk says it has passed is in the log."""
    (walk,) = await database.fetch("SELECT extract(epoch FROM reached)::bigint AS reached FROM backfill_walk")
    newer = {one["id"] for one in objects if int(str(one["created"])) > walk["reached"]}
    return newer <= {key.removeprefix("evt_fetched_").partition("~")[0] for key in await logged(database)}
