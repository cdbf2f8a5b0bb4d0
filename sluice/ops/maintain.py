"""``sluice maintain``."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable

import click

from sluice.maintenance.maintenance import WEBHOOKS_AT_LEAST_DAYS, Done, Maintenance, Retention
from sluice.ops.connection import connected
from sluice.ops.durations import Span
from sluice.ops.environment import detect_environment

_READY_DAYS = 3
EXAMPLES = """\b
Examples:
  sluice maintain
  sluice maintain --retain-bodies-days 30 --retain-webhooks-days 400 --dry-run
  RETAIN_BODIES_DAYS=30 sluice maintain --within 50m"""


def _days(name: str, *, at_least: int, what: str) -> click.Option:
    return click.Option(
        [f"--retain-{name}-days"],
        envvar=f"RETAIN_{name.upper()}_DAYS",
        type=click.IntRange(min=at_least),
        show_envvar=True,
        help=f"Keep {what} for so many days; not given: for ever.",
    )


@click.command(name="maintain", epilog=EXAMPLES)
@click.option("--dry-run", is_flag=True, help="Count what would go; change nothing.")
@click.option("--within", type=Span(), default="50m", show_default=True, help="Begin no step after so long.")
def command(
    *,
    dry_run: bool,
    within: float,
    retain_bodies_days: int | None,
    retain_webhooks_days: int | None,
    retain_errors_days: int | None,
    retain_items_days: int | None,
) -> None:
    """
    Make the days' partitions for bodies, and take what is older than it has to be kept.

    Run it hourly, as a member of sluice_maintainer. It works in small steps that hold up no service; killed, it goes on
    the next time. Bodies of webhooks that are not processed or dead, and of disputed payments, are kept however old
    they are; what webhooks said of payments always stays. Exit code 1: partitions are ready for fewer than three days.
    """
    url = detect_environment().database_url()
    retention = Retention(retain_bodies_days, retain_webhooks_days, retain_errors_days, retain_items_days)
    if dry_run:
        _tell_expired(asyncio.run(_count(url, retention)))
        return
    ready = asyncio.run(_maintain(url, retention, within))
    if ready < _READY_DAYS:
        raise click.ClickException(
            f"Partitions for bodies are ready for {ready} days only; bodies of later days go into webhook_logs. "
            "Another transaction holds webhook_body: see pg_stat_activity, and run it again."
        )


command.params += [
    _days("bodies", at_least=1, what="bodies"),
    _days("webhooks", at_least=WEBHOOKS_AT_LEAST_DAYS, what="processed webhooks, with their repeats,"),
    _days("errors", at_least=1, what="errors"),
    _days("items", at_least=WEBHOOKS_AT_LEAST_DAYS, what="items of ended operations"),
]


async def _count(url: str, retention: Retention) -> Iterable[Done]:
    async with connected(url) as connection:
        return await Maintenance(connection, retention, ends_at=0).count()


async def _maintain(url: str, retention: Retention, within_seconds: float) -> int:
    """Do the work, tell of it as it goes, and return for how many days partitions are ready."""
    totals: Counter[str] = Counter()
    async with connected(url) as connection:
        async for done in Maintenance(connection, retention, ends_at=time.monotonic() + within_seconds).run():
            totals[done.what] += done.number
            if totals[done.what] == done.number or totals[done.what] % 100_000 < done.number:
                click.echo(f"{done.what}: {totals[done.what]:,}")
    click.echo("Done: " + "; ".join(f"{what} {number:,}" for what, number in totals.items()) + ".")
    return totals["days ready"]


def _tell_expired(expired: Iterable[Done]) -> None:
    found = list(expired)
    for one in found:
        click.echo(f"{one.what}: {one.number:,}")
    click.echo("Nothing was changed." if found else "Nothing is older than it has to be kept. Nothing was changed.")
