"""
Rehearse a restore on the whole system; ``make rehearse-restore`` prints what each loss costs.

Payments whose lives lie across the restore point are delivered, something is lost, PostgreSQL is restored to the moment
before it, and the services start on that, with the stream of later or with an empty one. What is missing is counted
before the reconciler has asked Stripe, and after.
"""

import argparse
import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import asyncpg
import nats
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from devstack.options import Options
from devstack.schema import apply_migrations
from devstack.stack import Stack
from devstack.together import together
from sluice.contract.subjects import CONSUMER, STREAM
from sluice.simulator.catalog import Account
from sluice.simulator.client import Endpoint, send
from sluice.simulator.deliveries import Delivery
from sluice.simulator.demo import create_demo_events
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from sluice.simulator.troubles import tell
from tests.ops.cli import cli
from tests.restore.backup import LATEST, Backup
from tests.restore.books import Books, draw_up
from tests.restore.history import DAY_SECONDS, History, ids, of_organisers, write
from tests.system.account import SINK
from tests.waiting import until

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SETTINGS: Mapping[str, str] = MappingProxyType(
    {"RECONCILE_EVERY_SECONDS": "2", "RECONCILE_FIRST_SECONDS": "3600", "RECONCILE_OVERLAP_SECONDS": "300"}
)
"""Where the reconciler begins is as in a cluster: an hour back at first, then its watermark."""
_MEASURES = (
    "rows of events",
    "webhooks",
    "answered 200 after the restore point",
    "without reconcile: webhooks lost",
    "without reconcile: rows with a wrong status",
    "with it: lost of what Stripe lists for us",
    "with it: rows with a wrong status",
    "organisers' own, to be sent again by them",
    "PostgreSQL restored in",
    "services started and settled in",
    "everything that Stripe lists processed in",
    "books",
)
_OURS = (Account.PLATFORM, Account.CONNECTED)
_EVERYONE = (*_OURS, Account.TENANT)
_SECONDS = 90.0
_BEHIND_SECONDS = 7 * DAY_SECONDS
"""Stripe's clock goes so far behind ours, for a day passes there in each rehearsal, and no watermark is after today."""
_NEW_SINK = f"DROP TABLE IF EXISTS effect; DROP FUNCTION IF EXISTS note_effect CASCADE; {SINK}"
# Rows of an earlier rehearsal get another name, so that this one makes its own.
_NEW_ROWS = "UPDATE events SET name = name || ' before'"
_LOST_IT = """
SELECT count(*) FROM error_logs
WHERE severity = 'critical' AND message LIKE '%PostgreSQL lost it%' AND stripe_event_id = ANY ($1)
"""
_OPEN = "SELECT count(*) FROM webhook_logs WHERE NOT processed"
_PROCESSED = "SELECT count(*) FROM webhook_logs WHERE processed AND stripe_event_id = ANY ($1)"
_WATERMARK = "SELECT extract(epoch FROM complete_until)::bigint FROM reconcile_account WHERE account = 'platform'"


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that can be lost, and how it comes back."""

    name: str
    statement: str = ""
    """The mistake; empty: the machines go."""
    to: str = "latest"
    """Restore to before the transaction (``xid``) or the moment (``time``), or all that is in the archive."""
    keeps_stream: bool = True
    by_hand: bool = False
    """Whether a person runs ``sluice reconcile``; else the reconciler finds by itself where to begin."""


LOSSES = (
    Loss("a table dropped, NATS as it was", "DROP TABLE payment CASCADE", to="xid"),
    Loss("rows deleted, NATS empty", "DELETE FROM webhook_logs", to="time", keeps_stream=False, by_hand=True),
    Loss("the region, NATS too", keeps_stream=False),
)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The cost of one loss."""

    loss: Loss
    history: History
    restored: Books
    """When the services had done what the restored rows and the stream give, before Stripe was asked."""
    reconciled: Books
    resent: Books
    """When organisers had sent again what is theirs."""
    named: int
    """Critical errors that name a message without a row."""
    watermark_is_of_then: bool
    """Whether the restored watermark lies before the restore point; that of the history that is gone lay after it."""
    seconds: Mapping[str, float]

    @property
    def is_well(self) -> bool:
        """Whether only what organisers' accounts alone have was missing after the reconciler, and at last nothing."""
        theirs = ids(of_organisers([*self.history.after, *self.history.unsent]))
        mine = replace(self.reconciled, lost=self.reconciled.lost - theirs)
        return mine.balance and self.resent.balance


@dataclass
class Clock:
    """Seconds that each step took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measuring(self, step: str) -> Iterator[None]:
        """Measure this block."""
        began = time.monotonic()
        yield
        self.seconds[step] = time.monotonic() - began


@dataclass
class Rehearsing:
    """One rehearsal on one stack."""

    stack: Stack
    backup: Backup
    loss: Loss
    history: History
    middle: int
    """The restore point by Stripe's clock."""
    clock: Clock = field(default_factory=Clock)

    async def run(self) -> Rehearsal:
        """Lose it, restore it, and count."""
        moment = await self._deliver_before()
        target = await self._lose(moment)
        await self._restore(target)
        watermark = await self._ask(_WATERMARK)
        restored = await self._books(_OURS)
        named = await self._ask(_LOST_IT, list(ids(self.history.after)))
        await self._reconcile()
        reconciled = await self._books(_OURS)
        await self._send(of_organisers([*self.history.after, *self.history.unsent]))
        await self._settled()
        resent = await self._books(_EVERYONE)
        is_of_then = watermark <= self.middle
        return Rehearsal(
            self.loss, self.history, restored, reconciled, resent, int(named), is_of_then, self.clock.seconds
        )

    async def _deliver_before(self) -> datetime:
        await self._happen(self.history.before)
        await self._settled()
        await until(self._knows_the_time, within_seconds=_SECONDS, what="the watermark is of Stripe's time")
        await self.stack.stop_service("processor", by=signal.SIGKILL)
        await self._happen(self.history.in_hand)
        moment: datetime = await self._ask("SELECT clock_timestamp()")
        if not self.loss.statement:
            await self.backup.archive_all()
        return moment

    async def _lose(self, moment: datetime) -> Mapping[str, str]:
        """Do the damage, go on for a while, notice it, and stop; where to restore to."""
        if self.loss.statement:
            await self._ask(self.loss.statement)
        await self.stack.start_service("processor")
        await self._happen(self.history.later)
        await self._a_day_passes()
        await self.stack.stop_service("processor")
        await self._happen(self.history.queued)
        await together(*(self.stack.stop_service(name) for name in self.stack.services))
        tell(self._stripe, self.history.unsent)
        if not self.loss.statement:
            self.backup.server.kill()
            await self.backup.server.stop()
            return LATEST
        await self.backup.archive_all()
        if self.loss.to == "time":
            return {"recovery_target_time": str(moment)}
        return {"recovery_target_xid": await self.backup.dropped_in(), "recovery_target_inclusive": "off"}

    async def _knows_the_time(self) -> bool:
        return bool(await self._ask(_WATERMARK) <= self.middle)

    async def _a_day_passes(self) -> None:
        """At Stripe; the reconciler comes to know of it, so that the watermark of this history is of no more use."""
        tomorrow = self.middle + DAY_SECONDS
        self._stripe.clock = lambda: tomorrow

        async def has_passed() -> bool:
            return bool(await self._ask(_WATERMARK) >= tomorrow)

        await until(has_passed, within_seconds=_SECONDS, what="the watermark moves")

    async def _restore(self, target: Mapping[str, str]) -> None:
        with self.clock.measuring("PostgreSQL"):
            await self.backup.restore(target)
        if not self.loss.keeps_stream:
            await self.stack.servers.nats.wipe()
            await self.stack.servers.nats.restart()
        with self.clock.measuring("services"):
            assert await apply_migrations(self.stack.database_url) == []
            await together(*(self.stack.start_service(name) for name in ("ingest", "processor", "healthd")))
            await self._settled()

    async def _reconcile(self) -> None:
        with self.clock.measuring("reconcile"):
            if self.loss.by_hand:
                access = self.stack.stripe_access
                assert access is not None
                result = await cli(
                    "reconcile",
                    *("--since", "30d"),
                    DATABASE_URL=self.stack.servers.postgres.url(user="reconciler"),
                    STRIPE_API_KEY=access.key,
                    STRIPE_API_BASE=access.base,
                )
                assert result.exit_code == 0, result.output
            else:
                await self.stack.start_service("reconciler")
            await until(self._has_all_of_stripe, within_seconds=_SECONDS, what="all that Stripe has is processed")

    async def _has_all_of_stripe(self) -> bool:
        ours = ids(self.history.all) - ids(of_organisers(self.history.all))
        return bool(await self._ask(_PROCESSED, list(ours)) == len(ours))

    async def _happen(self, deliveries: Sequence[Delivery]) -> None:
        await self._send(deliveries)
        tell(self._stripe, deliveries)

    async def _send(self, deliveries: Sequence[Delivery]) -> None:
        answers = await send(Endpoint(self.stack.gateway_url, in_real_time=False), deliveries)
        assert all(answer.is_as_expected for answer in answers)

    async def _settled(self) -> None:
        await until(self._is_settled, within_seconds=_SECONDS, what="no row is open, no message is left")

    async def _is_settled(self) -> bool:
        return not await self._ask(_OPEN) and not await self._messages_left()

    async def _messages_left(self) -> int:
        client = await nats.connect(self.stack.nats_url)
        try:
            consumer = await client.jetstream().consumer_info(STREAM, CONSUMER)
            return (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
        finally:
            await client.close()

    async def _books(self, accounts: Sequence[Account]) -> Books:
        async with connected(self.stack) as connection:
            return await draw_up(connection, ids(self.history.all), self.history.statuses(accounts))

    async def _ask(self, query: str, *arguments: object) -> Any:
        async with connected(self.stack) as connection:
            return await connection.fetchval(query, *arguments)

    @property
    def _stripe(self) -> OfflineStripe:
        assert self.stack.stripe is not None
        return self.stack.stripe


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[Connection]:
    """A connection of the superuser's, on whatever history PostgreSQL is now."""
    connection = await asyncpg.connect(stack.database_url, timeout=30)
    try:
        yield connection
    finally:
        await connection.close()


async def rehearse(stack: Stack, backup: Backup, loss: Loss) -> Rehearsal:
    """Rehearse one loss, on rows of its own."""
    for name, service in stack.services.items():
        if not service.is_ready:
            await stack.start_service(name)
    async with connected(stack) as connection:
        await connection.execute(_NEW_SINK)
        await connection.execute(_NEW_ROWS)
        events = await create_demo_events(connection)
    await backup.take()
    assert stack.stripe is not None
    middle = min(int(stack.stripe.clock()), int(time.time()) - _BEHIND_SECONDS)
    stack.stripe.clock = lambda: middle
    history = write(events, secret=stack.webhook_secret, seed=time.time_ns(), middle=middle)
    return await Rehearsing(stack, backup, loss, history, middle).run()


@asynccontextmanager
async def archived_stack() -> AsyncIterator[tuple[Stack, Backup]]:
    """The whole system, on a PostgreSQL that archives its WAL."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-restore-"))
    folder.chmod(0o711)
    try:
        async with Stack(Options(folder=folder / "local", port=0, extra=SETTINGS)) as stack:
            backup = Backup(stack.servers.postgres)
            await backup.begin()
            yield stack, backup
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(rehearsals: Sequence[Rehearsal]) -> Table:
    """Show the cost of each loss, in 80 columns or so."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    made.add_column("")
    for one in rehearsals:
        made.add_column(one.loss.name, justify="right", max_width=17)
    for measure, *figures in zip(_MEASURES, *map(_figures, rehearsals), strict=True):
        made.add_row(measure, *figures)
    return made


def _figures(one: Rehearsal) -> Sequence[str]:
    theirs = ids(of_organisers(one.history.all))
    counts = (
        len(one.history.events),
        len(ids(one.history.all)),
        len(ids(one.history.after)),
        len(one.restored.lost),
        len(one.restored.wrong),
        len(one.reconciled.lost - theirs),
        len(one.reconciled.wrong),
        len(one.reconciled.lost & theirs),
    )
    seconds = [f"{one.seconds[step]:.1f} s" for step in ("PostgreSQL", "services", "reconcile")]
    return [*map(str, counts), *seconds, "balance" if one.is_well else "DO NOT BALANCE"]


async def run(losses: Sequence[Loss]) -> bool:
    """Rehearse these losses and print what they cost; whether the books balance each time."""
    async with archived_stack() as (stack, backup):
        rehearsals = [await rehearse(stack, backup, loss) for loss in losses]
    Console(width=110).print(table(rehearsals))
    return all(one.is_well for one in rehearsals)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="What a restore costs, with and without Stripe's list.")
    parser.add_argument("losses", nargs="*", help="words of the losses to rehearse; none: all")
    words = parser.parse_args().losses
    chosen = [loss for loss in LOSSES if not words or any(word in loss.name for word in words)]
    raise SystemExit(0 if asyncio.run(run(chosen)) else 1)


if __name__ == "__main__":
    main()
