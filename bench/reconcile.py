"""``make reconcile``: find a few webhooks among a million that never arrived; requests, seconds, CPU and memory."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import click
import psutil
from rich.console import Console

from devstack.child import Child, Command
from devstack.options import ROOT
from devstack.ports import free_port
from devstack.postgres import PostgresServer
from sluice.contract.document import JsonObject
from sluice.postgres.migrator import migrate
from sluice.simulator.objects import shape
from sluice.simulator.stripe_api.listing import Entry, Page
from sluice.simulator.stripe_api.offline_stripe import Key, OfflineStripe
from sluice.simulator.stripe_api.query import Wanted
from sluice.simulator.stripe_api.server import serve

_KEY = "rk_test_offline"
_SPAN_SECONDS = 20 * 86_400
_LOOK_SECONDS = 0.25
_PART = 100_000
_ROWS = """
INSERT INTO webhook_logs (stripe_event_id, webhook_type, livemode, object_id, stripe_created_at, body, verified_by,
                          processed, processed_at, outcome, next_attempt_at, publications)
SELECT 'evt_' || lpad(n::text, 9, '0'), 'payment_intent.succeeded', false, 'pi_' || n, now(),
       decode(repeat('7b7d', 50), 'hex'), 'platform:0a1b2c3d', true, now(), 'applied', now(), 1
FROM generate_series($1::bigint, $2::bigint) AS n
WHERE n % $3 <> 0
"""
_STANDING = "SELECT passed_at IS NOT NULL AS is_over, filled FROM reconcile_account"


@dataclass(frozen=True, slots=True)
class Measured:
    """One pass over the whole list."""

    events: int
    filled: int
    requests: int
    seconds: float
    cpu_seconds: float
    resident_bytes: Sequence[int]
    """Of the reconciler, a few times a second; the first is of one that has not begun."""


class GeneratedListing:
    """Events that are made as they are asked for: a million of them would not fit beside the measured process."""

    def __init__(self, events: int, *, begins_at: int) -> None:
        self._events = events
        self._begins_at = begins_at
        self._object = shape("payment_intent", id="pi_1", amount=4200, currency="eur", status="succeeded")

    def page(self, wanted: Wanted, *, oldest: int) -> Page:
        """One page, newest first."""
        del oldest
        last = self._events if wanted.starting_after is None else _number(wanted.starting_after) - 1
        first = max(1, last - wanted.limit + 1)
        return Page([self._entry(number) for number in range(last, first - 1, -1)], first > 1)

    def get(self, entry_id: str, *, oldest: int) -> Entry | None:
        """One of them."""
        del oldest
        return self._entry(_number(entry_id))

    def _entry(self, number: int) -> Entry:
        created = self._begins_at + number * _SPAN_SECONDS // self._events
        document: JsonObject = {
            "id": f"evt_{number:09}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": created,
            "data": {"object": {**self._object, "id": f"pi_{number}"}},
            "livemode": False,
            "pending_webhooks": 0,
            "request": None,
            "type": "payment_intent.succeeded",
        }
        return Entry(str(document["id"]), created, document, "payment_intent.succeeded")


def _number(event_id: str) -> int:
    return int(event_id.removeprefix("evt_"))


@click.command()
@click.option("--events", default=1_000_000, show_default=True, help="Events that Stripe lists.")
@click.option("--missing", default=1_000, show_default=True, help="Of these, those that are not in the log.")
def main(*, events: int, missing: int) -> None:
    """Let a reconciler walk through the whole list once, at 100 requests a second at most."""
    console = Console()
    with console.status("filling the log"):
        measured = asyncio.run(measure(events, missing))
    megabytes = [size / 2**20 for size in measured.resident_bytes]
    half = len(megabytes) // 2
    console.print(
        f"{measured.events:,} events listed in {measured.requests:,} requests and {measured.seconds:.0f} s; "
        f"{measured.filled:,} were missing and are in the log."
    )
    each = measured.cpu_seconds / measured.events * 1e6
    console.print(
        f"reconciler: {measured.cpu_seconds:.1f} s of CPU ({each:.0f} µs an event); "
        f"memory {megabytes[0]:.0f} MB at first, at most {max(megabytes[:half]):.0f} MB in the first half and "
        f"{max(megabytes[half:]):.0f} MB in the second."
    )


async def measure(events: int, missing: int) -> Measured:
    """Fill a log with all but the missing ones, and let the reconciler find them."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        await asyncio.to_thread(place.chmod, 0o711)
        server = await PostgresServer.start(place / "postgres", settings={"fsync": "off"})
        try:
            await migrate(server.url())
            connection = await asyncpg.connect(server.url())
            await _fill(connection, events, events // missing)
            measured = await _reconcile(connection, server.url(), place, events)
            await connection.close()
            return measured
        finally:
            await server.stop()


async def _fill(connection: "asyncpg.Connection[asyncpg.Record]", events: int, each: int) -> None:
    for first in range(1, events + 1, _PART):
        await connection.execute(_ROWS, first, min(first + _PART - 1, events), each, timeout=600)
    await connection.execute("ANALYZE webhook_logs", timeout=600)


async def _reconcile(
    connection: "asyncpg.Connection[asyncpg.Record]", database_url: str, folder: Path, events: int
) -> Measured:
    stripe = OfflineStripe([Key(_KEY)])
    stripe.events[False, None] = GeneratedListing(events, begins_at=int(time.time()) - _SPAN_SECONDS)
    async with serve(stripe) as base:
        child = Child.spawn(_command(database_url, base, folder))
        try:
            return await _watch(connection, psutil.Process(child.pid), stripe, events)
        finally:
            await child.stop()


async def _watch(
    connection: "asyncpg.Connection[asyncpg.Record]", process: psutil.Process, stripe: OfflineStripe, events: int
) -> Measured:
    while not stripe.requests:
        await asyncio.sleep(_LOOK_SECONDS / 10)
    began, cpu_before = time.monotonic(), _cpu_seconds(process)
    resident = [process.memory_info().rss]
    while True:
        row = await connection.fetchrow(_STANDING)
        resident.append(process.memory_info().rss)
        if row is not None and row["is_over"]:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    lists = sum(asked.startswith("/v1/events") for asked in stripe.requests)
    spent = _cpu_seconds(process) - cpu_before
    return Measured(events, row["filled"], lists, time.monotonic() - began, spent, resident)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _command(database_url: str, base: str, folder: Path) -> Command:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "STRIPE_API_KEY": _KEY,
        "STRIPE_API_BASE": base,
        "STRIPE_REQUESTS_PER_SECOND": "100",
        "RECONCILE_FIRST_SECONDS": str(_SPAN_SECONDS + 3600),
        "RECONCILE_EVERY_SECONDS": "3600",
        "ADMIN_PORT": str(free_port()),
    }
    return Command("reconciler", [sys.executable, "-m", "reconciler"], environment, folder / "log", folder=ROOT)


if __name__ == "__main__":
    main()
