"""
Measure an outage of ingest under load, with a Stripe that tries again only after an hour: ``make outage`` prints it.

ingest is killed, and kept away; each webhook of the load is sent once. The reconciler's own rhythm is an hour too, so
what is measured is how soon it hears of the outage. Times are PostgreSQL's and this machine's, which is one clock.
"""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import aiohttp
import asyncpg

from devstack.options import Options
from devstack.stack import Stack
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from tests.system.account import FRESH, SINK, draw_up, settle
from tests.system.traffic import Traffic
from tests.waiting import until

SETTINGS: Mapping[str, str] = {
    "RECONCILE_EVERY_SECONDS": "3600",
    "RECONCILE_FIRST_SECONDS": "3600",
    "RECONCILE_OVERLAP_SECONDS": "300",
    "HEALTH_PERIOD_SECONDS": "5",
}
"""As in a cluster, not as on a laptop; but the reconciler looks by itself once an hour alone."""
WANTED_SECONDS = 90.0
_EVENTS = 20
_GIVEN_UP_SECONDS = 120.0
_LAST_EFFECT = """
SELECT coalesce(max(extract(epoch FROM processed_at)), 0)::float8 FROM webhook_logs WHERE stripe_event_id = ANY ($1)
"""
_COMPLETE, _GAP = "reconcile_complete_until_timestamp_seconds", "reconcile_gap_events"


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of one outage; seconds since ingest was ready again."""

    sent: int
    missed: int
    """Webhooks that met no ingest."""
    effects: float
    """Until the last of those had its effect."""
    said: float
    """Until the metric said that nothing of the outage is missing any more."""
    balances: bool
    """Whether everything that happened took effect, once."""

    @property
    def is_as_wanted(self) -> bool:
        """Whether it was quick enough, and nothing was lost or done twice."""
        return self.balances and max(self.effects, self.said) <= WANTED_SECONDS


@dataclass
class Once:
    """A Stripe that sends each webhook once, for it tries again only after an hour, and lists it."""

    traffic: Traffic
    stripe: OfflineStripe
    happened: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def flowing(self, *, per_second: float) -> AsyncIterator[None]:
        """Let payments succeed while the block runs."""
        stop = asyncio.Event()
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            group.create_task(self._send(session, group, stop, per_second))
            try:
                yield
            finally:
                stop.set()

    @property
    def missed(self) -> frozenset[str]:
        """Webhooks that were not answered 200."""
        return frozenset(self.happened - self.traffic.acknowledged)

    async def _send(
        self, session: aiohttp.ClientSession, group: asyncio.TaskGroup, stop: asyncio.Event, per_second: float
    ) -> None:
        while not stop.is_set():
            body = self.traffic.payment()
            self.happened.add(json.loads(body)["id"])
            self.stripe.happened(body)
            group.create_task(self.traffic.post(session, body))
            await asyncio.sleep(1 / per_second)  # the pace of the traffic


async def measure(stack: Stack, *, seconds: float, per_second: float) -> Measured:
    """Kill ingest under load, keep it away for so long, and wait for what it missed."""
    assert stack.stripe is not None
    connection = await asyncpg.connect(stack.database_url)
    try:
        await until(lambda: _is_complete(stack, 0), within_seconds=60, what="a first pass")
        once = Once(await _fresh(connection, stack), stack.stripe)
        async with once.flowing(per_second=per_second):
            await once.traffic.acknowledged_more(int(2 * per_second), within_seconds=60)
            await stack.stop_service("ingest", by=signal.SIGKILL)
            await asyncio.sleep(seconds)
            await until(lambda: _is_unhealthy(stack), within_seconds=60, what="healthd sees that ingest is away")
            await stack.start_service("ingest")
            back = time.time()
            missed = once.missed
            await once.traffic.acknowledged_more(int(per_second), within_seconds=60)
            said, effects = await asyncio.gather(_said(stack, back), _effects(connection, missed, back))
        await settle(connection, within_seconds=_GIVEN_UP_SECONDS)
        balances = (await draw_up(connection, once.happened)).balances
        return Measured(len(once.happened), len(missed), effects, said, balances)
    finally:
        await connection.close()


async def _fresh(connection: "asyncpg.Connection[asyncpg.Record]", stack: Stack) -> Traffic:
    await connection.execute(FRESH)
    await connection.execute(SINK)
    rows = await connection.fetch(
        "INSERT INTO events (name) SELECT 'outage ' || n FROM generate_series(1, $1) AS n RETURNING id::text", _EVENTS
    )
    return Traffic(stack.gateway_url, stack.webhook_secret, [row["id"] for row in rows])


async def _said(stack: Stack, back: float) -> float:
    """Wait for the metric, and how long that took."""
    await until(lambda: _is_complete(stack, back), within_seconds=_GIVEN_UP_SECONDS, what="the metric says it")
    return time.time() - back


async def _effects(connection: "asyncpg.Connection[asyncpg.Record]", missed: frozenset[str], back: float) -> float:
    """Wait for the effects, and how long that took."""

    async def are_there() -> bool:
        query = "SELECT count(*) FROM webhook_logs WHERE processed AND stripe_event_id = ANY ($1)"
        return bool(await connection.fetchval(query, list(missed)) == len(missed))

    await until(are_there, within_seconds=_GIVEN_UP_SECONDS, what="every effect")
    last: float = await connection.fetchval(_LAST_EFFECT, list(missed))
    return max(0.0, last - back)


async def _is_unhealthy(stack: Stack) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{stack.gateway_url}/api/health") as answer:
        return answer.status == HTTPStatus.SERVICE_UNAVAILABLE


async def _is_complete(stack: Stack, moment: float) -> bool:
    """Whether the metrics say that everything up to this moment is here."""
    url = f"{stack.services['reconciler'].admin_url}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    complete, gap = (
        [float(one.rsplit(" ", 1)[1]) for one in lines if one.startswith(name)] for name in (_COMPLETE, _GAP)
    )
    return min(complete, default=-1) > moment and max(gap, default=1) == 0


async def run(*, seconds: float, per_second: float) -> bool:
    """Measure one outage and print it; whether it was as wanted."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-outage-"))
    folder.chmod(0o711)
    try:
        async with Stack(Options(folder=folder / "local", port=0, extra=SETTINGS)) as stack:
            measured = await measure(stack, seconds=seconds, per_second=per_second)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(
        f"ingest killed and away for {seconds:g} s, at {per_second:g} webhooks a second\n"
        f"happened at Stripe              {measured.sent:>7,}\n"
        f"met no ingest, sent once        {measured.missed:>7,}\n"
        f"last effect of those            {measured.effects:>7.1f} s after ingest was ready again\n"
        f"the metric says it is complete  {measured.said:>7.1f} s\n"
        f"books                           {'balance' if measured.balances else 'DO NOT BALANCE'}\n"
    )
    return measured.is_as_wanted


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="How soon a webhook that met no ingest has its effect.")
    parser.add_argument("--seconds", type=float, default=30, help="how long ingest is away")
    parser.add_argument("--per-second", type=float, default=100, help="webhooks a second")
    arguments = parser.parse_args()
    is_well = asyncio.run(run(seconds=arguments.seconds, per_second=arguments.per_second))
    raise SystemExit(0 if is_well else 1)


if __name__ == "__main__":
    main()
