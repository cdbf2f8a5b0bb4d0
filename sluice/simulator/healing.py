"""Report the day's lost webhooks: how many were missing, who found them, and whether they took effect."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from sluice.postgres.sql import load_queries
from sluice.simulator.day import DayReport
from sluice.simulator.deliveries import Reason
from sluice.simulator.report import Fate

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

    AnyConnection = Connection[Record] | PoolConnectionProxy[Record]

_QUERIES = load_queries(__file__, "report.sql")
_FINDERS: Mapping[str, str] = MappingProxyType({"reconcile": "reconciler's list", "thin": "reconciler's fetch"})
"""By ``webhook_found.source``."""


@dataclass(frozen=True, slots=True)
class Healing:
    """One trouble of the day, and what became of the events that it kept away."""

    reason: Reason
    missing: int
    found_by: Mapping[str, int]
    """How many each source of ``webhook_found`` brought."""
    processed: int
    has_statuses: bool
    """Whether the rows that they are about show what they must."""

    @property
    def is_well(self) -> bool:
        """Whether each one was found, once, and took effect."""
        return sum(self.found_by.values()) == self.processed == self.missing and self.has_statuses


async def learn_healings(connection: "AnyConnection", day: DayReport, fates: Sequence[Fate]) -> Sequence[Healing]:
    """Look up what became of each trouble of the day, in the order of ``Reason``."""
    lost = [one.event.stripe_event_id for one in day.lost]
    found = {row["stripe_event_id"]: row for row in await connection.fetch(_QUERIES["read_found"], lost)}
    return list(_healings(day, found, {fate.event.scenario: fate.is_well for fate in fates}))


def _healings(day: DayReport, found: "Mapping[str, Record]", are_well: Mapping[str, bool]) -> Iterator[Healing]:
    for reason in Reason:
        lost = [one for one in day.lost if one.reason is reason]
        rows = [found[one.event.stripe_event_id] for one in lost if one.event.stripe_event_id in found]
        if lost:
            yield Healing(
                reason,
                missing=len(lost),
                found_by=Counter(row["source"] for row in rows),
                processed=sum(row["processed"] for row in rows),
                has_statuses=all(are_well[one.scenario] for one in lost),
            )


def build_healing_table(healings: Sequence[Healing]) -> Table:
    """The table for people, in 80 columns."""
    table = Table(
        title="What no webhook brought", title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    table.padding = (0, 0, 0, 1)
    table.add_column("trouble", no_wrap=True)
    table.add_column("missing", justify="right", no_wrap=True)
    table.add_column("found by", no_wrap=True)
    table.add_column("effect", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in healings:
        table.add_row(
            one.reason.value,
            str(one.missing),
            ", ".join(f"{_FINDERS.get(source, source)} {count}" for source, count in sorted(one.found_by.items())),
            f"{one.processed} of {one.missing}",
            "[green]ok[/]" if one.is_well else "[bold red]NO[/]",
        )
    return table
