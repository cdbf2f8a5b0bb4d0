"""``sluice reconcile``."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from reconciler.by_hand import AccountReport, walk
from reconciler.connections import advance, connections, keys_of
from sluice.ops.connection import connected
from sluice.ops.durations import Span
from sluice.ops.environment import Environment, detect_environment
from sluice.ops.output import print_json
from sluice.ops.terminal import Terminal
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "command.sql")
_KEPT_SECONDS = 30 * 86_400
EXAMPLES = """\b
Examples:
  sluice reconcile --since 30d --dry-run      how many webhooks never arrived
  sluice reconcile --since 2h
  sluice reconcile --since 7d --account acct_1032D82eZvKYlo2C --json"""


@click.command(name="reconcile", epilog=EXAMPLES)
@click.option("--since", type=Span(), metavar="SPAN", help="How far back, 30d at most, such as 2h.")
@click.option("--account", "accounts", multiple=True, metavar="ACCOUNT", help="Only this one: acct_… or platform.")
@click.option("--dry-run", is_flag=True, help="Record nothing; count what is missing.")
@click.option(
    "--rate", type=click.FloatRange(min=0.1, max=100), default=10.0, show_default=True, help="Requests a second."
)
@click.option("--forget", is_flag=True, help="Forget how far each account is complete: no reconciler runs any more.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(
    *, since: float | None, accounts: Sequence[str], dry_run: bool, rate: float, forget: bool, as_json: bool
) -> None:
    """
    Ask Stripe for webhooks that never arrived, and record them.

    Lists the events of the platform and of each connected account that is known, as Stripe keeps them: 30 days. What is
    missing is recorded as the reconciler does it, and the services process it; what is there stays as it is. It may run
    while they do, as often as you like. STRIPE_API_KEY is a restricted key that may read events; DATABASE_URL names a
    role such as sluice_reconciler. Exit code 1 when an account could not be seen, or an event not be recorded.
    """
    environment = detect_environment()
    if forget:
        count = asyncio.run(_forget(environment.database_url()))
        click.echo(f"{count} accounts are forgotten; health speaks of none until a reconciler runs again.")
        return
    if since is None:
        raise click.UsageError("Say how far back: --since 2h.")
    reports = asyncio.run(_reconcile(environment, keys_of(environment), since, accounts, rate, dry_run=dry_run))
    if as_json:
        print_json({"dry_run": dry_run, "accounts": [{**asdict(one), "in_step": one.in_step} for one in reports]})
    else:
        _show(Terminal(), reports, dry_run=dry_run)
    if not all(one.is_well for one in reports):
        raise click.exceptions.Exit(1)


async def _forget(url: str) -> int:
    async with connected(url) as connection:
        return len(await connection.fetch(QUERIES["forget_accounts"]))


async def _reconcile(
    environment: Environment,
    keys: Mapping[bool, str],
    since: float,
    wanted: Sequence[str],
    rate: float,
    *,
    dry_run: bool,
) -> Sequence[AccountReport]:
    begin = int(time.time() - min(since, _KEPT_SECONDS))
    reports = []
    async with connections(environment, keys, wanted, rate, application_name="sluice-reconcile") as made:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            for account in made.accounts:
                task = bar.add_task(f"{account.name} ({account.mode})", total=int(time.time()) - begin)
                api, told = made.apis[account.livemode], partial(advance, bar, task)
                reports.append(await walk(made.database, api, account, since=begin, dry_run=dry_run, progress=told))
    return reports


def _show(console: Console, reports: Sequence[AccountReport], *, dry_run: bool) -> None:
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    table.add_column("account", overflow="fold")
    table.add_column("mode", no_wrap=True)
    for heading in ("listed", "in step", "missing" if dry_run else "filled", "refused"):
        table.add_column(heading, justify="right")
    for one in reports:
        figures = (one.listed, one.in_step, one.filled, one.refused)
        table.add_row(one.account, one.mode, *(f"{figure:,}" for figure in figures))
    console.print(table)
    for one in reports:
        if one.not_visible is not None:
            console.print(f"[yellow]not visible to this key:[/] {one.account} ({one.mode}): {escape(one.not_visible)}")
