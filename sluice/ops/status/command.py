"""``sluice status``."""

import asyncio
from collections.abc import Sequence

import click

from sluice.ops.connection import connected
from sluice.ops.durations import Span
from sluice.ops.environment import Environment, detect_environment
from sluice.ops.output import print_json
from sluice.ops.status.criteria import Criterion, Judgement, judge
from sluice.ops.status.evidence import gather
from sluice.ops.status.screen import show, show_criteria
from sluice.ops.status.snapshot import Snapshot, take
from sluice.ops.terminal import Terminal, printable_value


@click.command(name="status")
@click.option(
    "--since", type=Span(), metavar="SPAN", help="Judge the time after a deployment instead, such as 48h or 7d."
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(*, since: float | None, as_json: bool) -> None:
    """
    Show the state of Sluice in one screen.

    Backlog, age of the oldest, dead and parked webhooks, the pools of the services, the server's connections,
    unresolved errors, and faults of the schema with the statement that mends each. HEALTH_TARGETS, as healthd has it,
    names the services, and each of their replicas is asked; without it INGEST_ADMIN_URL, PROCESSOR_ADMIN_URL and
    HEALTHD_ADMIN_URL name one each.

    With --since, the five criteria after a deployment as pass, fail or unknown; exit code 1 when one fails.
    """
    environment = detect_environment()
    if since is None:
        snapshot = asyncio.run(_snapshot(environment))
        print_json(snapshot) if as_json else show(Terminal(), printable_value(snapshot))
        return
    criteria = asyncio.run(_criteria(environment, since))
    print_json(list(criteria)) if as_json else show_criteria(Terminal(), list(criteria), since)
    if any(one.verdict is Judgement.FAIL for one in criteria):
        raise click.exceptions.Exit(1)


async def _snapshot(environment: Environment) -> Snapshot:
    async with connected(environment.database_url()) as connection:
        return await take(connection, environment)


async def _criteria(environment: Environment, window_seconds: float) -> Sequence[Criterion]:
    async with connected(environment.database_url()) as connection:
        return judge(await gather(connection, environment, window_seconds=window_seconds))
