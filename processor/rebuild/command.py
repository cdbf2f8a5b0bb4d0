"""``sluice rebuild``."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

import processor.handlers
from processor.payments.ledger import RowChange, apply_facts
from processor.rebuild.run import count, rebuild
from sluice.ops.connection import connected
from sluice.ops.durations import Span
from sluice.ops.environment import detect_environment
from sluice.ops.output import print_json
from sluice.ops.terminal import Terminal
from sluice.registry import Registry, discover

_COMMAND_SECONDS = 300
EXAMPLES = """\b
Examples:
  sluice rebuild --dry-run          which rows would change
  sluice rebuild
  sluice rebuild --since 30d --json"""


@dataclass
class Report:
    """Totals of the whole rebuild."""

    webhooks: int = 0
    corrected: int = 0
    rows: dict[str, RowChange] = field(default_factory=dict)
    """The changed ``events`` rows by key, as they were at first and are at last."""
    unreadable: list[str] = field(default_factory=list)

    def add(self, changes: Sequence[RowChange]) -> None:
        """Take in the changes of one batch."""
        for change in changes:
            first = self.rows.pop(change.events_id, change)
            if (first.status_before, first.payment_before) != (change.status, change.payment_id):
                self.rows[change.events_id] = change._replace(
                    status_before=first.status_before, payment_before=first.payment_before
                )


@click.command(name="rebuild", epilog=EXAMPLES)
@click.option("--since", type=Span(), metavar="SPAN", help="Only webhooks of this time, such as 30d; default: all.")
@click.option("--dry-run", is_flag=True, help="Change nothing; list the rows that would change.")
@click.option(
    "--trust-client-reference-id/--ignore-client-reference-id",
    "trusts_reference",
    default=True,
    envvar="TRUST_CLIENT_REFERENCE_ID",
    help="As the processor is set.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(*, since: float | None, dry_run: bool, trusts_reference: bool, as_json: bool) -> None:
    """
    Read stored webhooks again by this version's rules.

    An upgrade may know better what a webhook says of a payment: what was released and not refunded, which account a
    charge was for, a second name of a row. This takes what the webhooks say anew, and lists each events row that shows
    something else than before, and why. It may run while the services do, as often as you like: a second run changes
    nothing. It needs a role that may delete from payment_fact and update events, such as the owner of the tables.
    """
    report = asyncio.run(
        _rebuild(detect_environment().database_url(), since, dry_run=dry_run, trusts_reference=trusts_reference)
    )
    if as_json:
        print_json({"dry_run": dry_run, **vars(report), "rows": [row._asdict() for row in report.rows.values()]})
    else:
        _show(Terminal(), report, dry_run=dry_run)


async def _rebuild(url: str, since: float | None, *, dry_run: bool, trusts_reference: bool) -> Report:
    types = _types(discover(processor.handlers))
    begin = datetime.now(UTC) - timedelta(seconds=since) if since else datetime.min.replace(tzinfo=UTC)
    report = Report()
    async with connected(url) as connection:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("reading webhooks", total=await count(connection, types, begin))
            async for step in rebuild(connection, types, begin, dry_run=dry_run, trusts_reference=trusts_reference):
                report.webhooks += step.webhooks
                report.corrected += step.corrected
                report.unreadable += step.unreadable
                report.add(step.changes)
                bar.advance(task, step.webhooks)
    return report


def _types(registry: Registry) -> Sequence[str]:
    """The types of which the ledger learns."""
    return sorted(name for name in registry.types if apply_facts in registry.handlers_for(name))


def _show(console: Console, report: Report, *, dry_run: bool) -> None:
    verb = "would say" if dry_run else "now say"
    console.print(f"{report.webhooks:,} webhooks read; {report.corrected:,} {verb} something else of a payment.")
    for key in report.unreadable:
        console.print(f"[yellow]not readable, left as it was:[/] {escape(key)}")
    if not report.rows:
        console.print("No events row changes.")
        return
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for heading in ("events row", "showed", "shows", "because of"):
        table.add_column(heading, overflow="fold")
    for row in report.rows.values():
        because = f"{row.payment_id}, bound by {row.bound_by}" if row.bound_by else "no payment is bound to it"
        table.add_row(*(escape(text) for text in (row.events_id, row.status_before or "", row.status or "", because)))
    console.print(table)
