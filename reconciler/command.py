"""``sluice reconcile``."""

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from reconciler.accounts import accounts_to_list
from reconciler.budget import Budget
from reconciler.by_hand import AccountReport, of_interest, walk
from reconciler.failures import StripeUnavailable
from reconciler.settings import KEY_NAME, keys_by_mode
from reconciler.standing import Standings
from reconciler.stripe_api import DEFAULT_BASE, StripeApi, http_client
from sluice.ops.connection import explained
from sluice.ops.durations import Span
from sluice.ops.environment import Environment, detect_environment
from sluice.ops.output import print_json
from sluice.ops.terminal import Terminal
from sluice.postgres.pool import Database

_KEPT_SECONDS = 30 * 86_400
_REQUEST_SECONDS = 20.0
EXAMPLES = """\b
Examples:
  sluice reconcile --since 30d --dry-run      how many webhooks never arrived
  sluice reconcile --since 2h
  sluice reconcile --since 7d --account acct_1032D82eZvKYlo2C --json"""


@click.command(name="reconcile", epilog=EXAMPLES)
@click.option("--since", type=Span(), metavar="SPAN", required=True, help="How far back, 30d at most, such as 2h.")
@click.option("--account", "accounts", multiple=True, metavar="ACCOUNT", help="Only this one: acct_… or platform.")
@click.option("--dry-run", is_flag=True, help="Record nothing; count what is missing.")
@click.option(
    "--rate", type=click.FloatRange(min=0.1, max=100), default=10.0, show_default=True, help="Requests a second."
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(*, since: float, accounts: Sequence[str], dry_run: bool, rate: float, as_json: bool) -> None:
    """
    Ask Stripe for webhooks that never arrived, and record them.

    Lists the events of the platform and of each connected account that is known, as Stripe keeps them: 30 days. What is
    missing is recorded as the reconciler does it, and the services process it; what is there stays as it is. It may run
    while they do, as often as you like. STRIPE_API_KEY is a restricted key that may read events; DATABASE_URL names a
    role such as sluice_reconciler. Exit code 1 when an account could not be seen, or an event not be recorded.
    """
    environment = detect_environment()
    keys = keys_by_mode((environment.get(KEY_NAME) or "").split(","))
    if not keys:
        raise click.UsageError(f"No key is known. Set {KEY_NAME} (or {KEY_NAME}_FILE) to a restricted key of Stripe's.")
    reports = asyncio.run(_reconcile(environment, keys, since, accounts, rate, dry_run=dry_run))
    if as_json:
        print_json({"dry_run": dry_run, "accounts": [{**asdict(one), "in_step": one.in_step} for one in reports]})
    else:
        _show(Terminal(), reports, dry_run=dry_run)
    if not all(one.is_well for one in reports):
        raise click.exceptions.Exit(1)


async def _reconcile(
    environment: Environment,
    keys: Mapping[bool, str],
    since: float,
    wanted: Sequence[str],
    rate: float,
    *,
    dry_run: bool,
) -> Sequence[AccountReport]:
    url = environment.database_url()
    begin = int(time.time() - min(since, _KEPT_SECONDS))
    with explained(url), _told_of_stripe():
        async with (
            Database.connect(url, application_name="sluice-reconcile", max_size=2, statement_cache=False) as database,
            http_client(request_seconds=_REQUEST_SECONDS) as http,
        ):
            known: Collection[str] = await Standings(database, "").known_accounts()
            besides = [name for name in wanted if name.startswith("acct_")]
            chosen = of_interest(accounts_to_list(keys, known, besides=besides), wanted)
            apis = {
                mode: StripeApi(
                    http,
                    mode="live" if mode else "test",
                    key=partial(_the, key),
                    base=environment.get("STRIPE_API_BASE") or DEFAULT_BASE,
                    budget=Budget(rate),
                    request_seconds=_REQUEST_SECONDS,
                )
                for mode, key in keys.items()
            }
            reports = []
            with Progress(console=Console(stderr=True), transient=True) as bar:
                for account in chosen:
                    task = bar.add_task(f"{account.name} ({account.mode})", total=int(time.time()) - begin)
                    told = partial(_advance, bar, task)
                    reports.append(
                        await walk(
                            database, apis[account.livemode], account, since=begin, dry_run=dry_run, progress=told
                        )
                    )
            return reports


@contextmanager
def _told_of_stripe() -> Iterator[None]:
    try:
        yield
    except StripeUnavailable as failure:
        raise click.ClickException(f"{failure} What was recorded stays; run it again later.") from failure


def _the(key: str) -> str:
    return key


def _advance(bar: Progress, task: TaskID, reached: int) -> None:
    bar.update(task, completed=int(time.time()) - reached)


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
