"""Report a simulated day: each demo row, what was sent about it, and what the database says now."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from sluice.postgres.sql import load_queries
from sluice.simulator.day import DayReport
from sluice.simulator.deliveries import PLATFORM_PATH, Delivery, Reason
from sluice.simulator.demo import DemoEvent

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

    AnyConnection = Connection[Record] | PoolConnectionProxy[Record]

_QUERIES = load_queries(__file__, "report.sql")
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Fate:
    """One row of the table: a demo event after the day."""

    event: DemoEvent
    deliveries: int
    """POSTs, repeats after a bad answer included."""
    refused: int
    """Forgeries that were answered 400."""
    rows_expected: int
    """Distinct genuine events."""
    rows_logged: int
    rows_settled: int
    """Processed, or dead."""
    duplicates: int
    found: int
    """Rows that no webhook brought: the reconciler found them at Stripe."""
    found_expected: int
    actual_status: str | None
    answered_well: bool

    @property
    def is_settled(self) -> bool:
        """Whether all that was sent is logged and has been processed."""
        return self.rows_settled == self.rows_expected

    @property
    def is_well(self) -> bool:
        """Whether every answer, every row and the status are what they must be."""
        is_complete = self.is_settled and self.found >= self.found_expected
        return self.answered_well and is_complete and self.actual_status == self.event.expected_status


async def learn_fates(connection: "AnyConnection", day: DayReport) -> Sequence[Fate]:
    """Look up what became of the day's events, in the order of the scenarios."""
    logged = {row["stripe_event_id"]: row for row in await connection.fetch(_QUERIES["count_logged"], _keys(day))}
    rows = await connection.fetch(_QUERIES["read_statuses"], [one.id for one in day.events])
    statuses: Mapping[str, str | None] = {row["id"]: row["payment_status"] for row in rows}
    return [_fate(day, event, logged, statuses.get(event.id)) for event in day.events]


async def await_fates(connection: "AnyConnection", day: DayReport, *, within_seconds: float) -> Sequence[Fate]:
    """Look until everything is settled, or until the time is over; then tell how it stands."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    fates = await learn_fates(connection, day)
    while not all(fate.is_settled for fate in fates) and loop.time() < deadline:
        await asyncio.sleep(_PAUSE_SECONDS)
        fates = await learn_fates(connection, day)
    return fates


def build_table(fates: Sequence[Fate]) -> Group:
    """The table for people, in 80 columns; below it what is not as it must be, and in which row."""
    table = Table(
        title="What became of each scenario", title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    table.padding = (0, 0, 0, 1)
    table.add_column("scenario", no_wrap=True)
    for heading in ("sent", "fake", "rows", "dups", "lost"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("payment_status", no_wrap=True)
    table.add_column("", no_wrap=True)
    for fate in fates:
        table.add_row(
            fate.event.scenario,
            str(fate.deliveries),
            f"{fate.refused}" if fate.refused else "",
            f"{fate.rows_logged}" if fate.is_settled else f"{fate.rows_settled} of {fate.rows_expected}",
            str(fate.duplicates),
            f"{fate.found}" if fate.found else "",
            fate.actual_status or "none",
            "[green]ok[/]" if fate.is_well else "[bold red]NO[/]",
        )
    wrong = [
        f"[bold red]NO[/] {fate.event.scenario}: {fate.event.expected_status} expected, in events row {fate.event.id}"
        for fate in fates
        if not fate.is_well
    ]
    return Group(table, *wrong)


def _keys(day: DayReport) -> Sequence[str]:
    return [_key(delivery) for delivery in (*(answer.delivery for answer in day.answers), *day.lost)]


def _key(delivery: Delivery) -> str:
    tenant = delivery.path.removeprefix(PLATFORM_PATH).removeprefix("/")
    return delivery.event.stripe_event_id + (f"@{tenant}" if tenant else "")


def _fate(day: DayReport, event: DemoEvent, logged: "Mapping[str, Record]", actual_status: str | None) -> Fate:
    answers = [answer for answer in day.answers if answer.delivery.scenario == event.scenario]
    lost = {_key(one) for one in day.lost if one.scenario == event.scenario}
    genuine = {_key(one.delivery) for one in answers if one.delivery.reason is not Reason.FORGERY} | lost
    forged = [one for one in answers if one.delivery.reason is Reason.FORGERY]
    rows = [logged[key] for key in genuine & logged.keys()]
    forgery_got_in = any(_key(one.delivery) in logged for one in forged)
    return Fate(
        event=event,
        deliveries=sum(len(one.attempts) for one in answers if one not in forged),
        refused=sum(one.is_as_expected for one in forged),
        rows_expected=len(genuine),
        rows_logged=len(rows),
        rows_settled=sum(row["settled"] for row in rows),
        duplicates=sum(row["repeats"] for row in rows),
        found=sum(row["is_found"] for row in rows),
        found_expected=len(lost),
        actual_status=actual_status,
        answered_well=all(one.is_as_expected for one in answers) and not forgery_got_in,
    )
