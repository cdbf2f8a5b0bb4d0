"""``sluice backfill``."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import groupby

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from reconciler.backfill.kinds import KINDS, Kind
from reconciler.backfill.walk import Backfill, KindReport
from reconciler.connections import advance, connections, keys_of
from sluice.ops.durations import Span
from sluice.ops.environment import Environment, detect_environment
from sluice.ops.output import print_json
from sluice.ops.terminal import Terminal

EXAMPLES = """\b
Examples:
  sluice backfill --since 2y --dry-run        how much it would record
  sluice backfill --since 2y --rate 20
  sluice backfill --objects invoices,subscriptions --since 90d --json"""


class _Kinds(click.ParamType[Sequence[Kind]]):
    """Kinds of objects by their names, with commas."""

    name = "kinds"

    def convert(
        self, value: str | Sequence[Kind], param: click.Parameter | None, ctx: click.Context | None
    ) -> Sequence[Kind]:
        """The kinds that a person means, each once."""
        if not isinstance(value, str):
            return value
        names = list(dict.fromkeys(name for part in value.split(",") if (name := part.strip())))
        for name in names:
            if name not in KINDS:
                self.fail(f"{name!r} cannot be listed; of these each can: {', '.join(KINDS)}.", param, ctx)
        return [KINDS[name] for name in names]


@click.command(name="backfill", epilog=EXAMPLES)
@click.option("--since", type=Span(), metavar="SPAN", required=True, help="How far back, such as 90d or 2y.")
@click.option(
    "--objects",
    "kinds",
    type=_Kinds(),
    metavar="KINDS",
    default=",".join(KINDS),
    help="Only these, with commas: payment_intents, charges, refunds, disputes, invoices, subscriptions, "
    "checkout_sessions. All of them by default.",
)
@click.option("--account", "accounts", multiple=True, metavar="ACCOUNT", help="Only this one: acct_… or platform.")
@click.option("--dry-run", is_flag=True, help="Record nothing; count what is not recorded.")
@click.option(
    "--rate", type=click.FloatRange(min=0.1, max=100), default=10.0, show_default=True, help="Requests a second."
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(
    *, since: float, kinds: Sequence[Kind], accounts: Sequence[str], dry_run: bool, rate: float, as_json: bool
) -> None:
    """
    Record the objects of an old account as Stripe shows them now.

    Stripe keeps events for 30 days, and objects for good. This lists objects that were created since then, and records
    how each of them stands; the processor settles payments, invoices and subscriptions by it, and runs no handler of
    yours. What a later webhook says wins. A run that was killed goes on where it stopped; one more changes nothing
    but what has changed at Stripe. STRIPE_API_KEY is a restricted key that may read these objects; DATABASE_URL names
    a role such as sluice_reconciler. Exit code 1 when a list could not be seen, or an object not be recorded.
    """
    environment = detect_environment()
    asked = _backfill(environment, keys_of(environment), since, kinds, accounts, rate, dry_run=dry_run)
    reports = asyncio.run(asked)
    if as_json:
        print_json({"dry_run": dry_run, "objects": [{**asdict(one), "known": one.known} for one in reports]})
    else:
        _show(Terminal(), reports, dry_run=dry_run)
    if not all(one.is_well for one in reports):
        raise click.exceptions.Exit(1)


async def _backfill(
    environment: Environment,
    keys: Mapping[bool, str],
    since: float,
    kinds: Sequence[Kind],
    wanted: Sequence[str],
    rate: float,
    *,
    dry_run: bool,
) -> Sequence[KindReport]:
    begin = max(0, int(time.time() - since))
    reports = []
    async with connections(environment, keys, wanted, rate, application_name="sluice-backfill") as made:
        backfill = Backfill(made.database, begin, dry_run)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            for account in made.accounts:
                for kind in kinds:
                    name = f"{account.name} ({account.mode}) {kind.name}"
                    task = bar.add_task(name, total=int(time.time()) - begin)
                    told = partial(advance, bar, task)
                    reports.append(await backfill.run(made.apis[account.livemode], account, kind, progress=told))
    return reports


def _show(console: Console, reports: Sequence[KindReport], *, dry_run: bool) -> None:
    """One table for each account, in 80 columns."""
    for (account, mode), group in groupby(reports, key=lambda one: (one.account, one.mode)):
        of_account = list(group)
        console.print(f"[bold]{account}[/] ({mode})")
        console.print(_table(of_account, dry_run=dry_run))
        for one in of_account:
            if one.not_visible is not None:
                console.print(f"[yellow]not visible to this key:[/] {one.objects}: {escape(one.not_visible)}")


def _table(reports: Sequence[KindReport], *, dry_run: bool) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    table.add_column("objects", no_wrap=True)
    for heading in ("listed", "known", "missing" if dry_run else "recorded", "refused"):
        table.add_column(heading, justify="right")
    for one in reports:
        table.add_row(one.objects, *(f"{figure:,}" for figure in (one.listed, one.known, one.filled, one.refused)))
    return table
