"""``sluice send``."""

import asyncio
import os
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress as ProgressBar

from sluice.ops.environment import Environment
from sluice.ops.send.burst import record, send_burst
from sluice.ops.send.chosen_scenarios import Choice, Sent, send_scenarios
from sluice.ops.send.effects import await_effects
from sluice.ops.send.screen import show_effects, show_load_test, show_scenarios, show_sent, show_sum
from sluice.ops.send.target import Target, find_target
from sluice.ops.terminal import Terminal
from sluice.simulator.catalog import SCENARIOS
from sluice.simulator.client import Answer

_WAIT_SECONDS = 30.0
EXAMPLES = """\b
Examples:
  sluice send                                   a whole day
  sluice send --list
  sluice send --scenario refund_partial --in-order
  sluice send --scenario checkout_paid --count 50
  sluice send --burst 100                       the load test
  sluice send --to https://staging.example --secret-file whsec --event-id 42"""


@click.command(name="send", epilog=EXAMPLES)
@click.option(
    "--scenario",
    "--story",
    "scenarios",
    multiple=True,
    type=click.Choice(list(SCENARIOS)),
    metavar="NAME",
    help="Only this scenario; may be given again. Default: all. (--story is the old name.)",
)
@click.option("--list", "list_scenarios", is_flag=True, help="List the scenarios and send nothing.")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 10_000), help="Runs of each scenario.")
@click.option("--in-order", is_flag=True, help="Each event once and in order; otherwise as Stripe sends.")
@click.option("--event-id", metavar="ID", help="The events row that the payments are for.")
@click.option(
    "--burst",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="The load test instead: N webhooks at once, each three times.",
)
@click.option("--to", metavar="URL", help="A gateway other than the local stack's, without a path.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    help="Holds the secret of the endpoint at --to; several with commas.",
)
@click.option(
    "--demo-rows",
    is_flag=True,
    help="With --to: make the demo's events rows in DATABASE_URL and look what became of them.",
)
@click.option(
    "--record", "record_it", is_flag=True, help="With --to and --burst: put the load test on record in DATABASE_URL."
)
@click.option("--wait", is_flag=True, help="With --to: wait until DATABASE_URL says that all of it is processed.")
@click.option("--seed", type=int, help="The same ids again; otherwise new ones.")
def command(
    *,
    scenarios: tuple[str, ...],
    list_scenarios: bool,
    count: int,
    in_order: bool,
    event_id: str | None,
    burst: int | None,
    to: str | None,
    secret_file: Path | None,
    demo_rows: bool,
    record_it: bool,
    wait: bool,
    seed: int | None,
) -> None:
    """
    Send webhooks as Stripe would: scenarios of payments, signed, repeated and out of order.

    Without --to it goes to the stack that `make run` started here, whatever DATABASE_URL says: demo rows are made in
    its table events, and a table shows what became of each. With --to nothing touches a database unless --demo-rows
    says so, and the objects name no events row unless --event-id does. All of it is in test mode.
    """
    console = Terminal()
    if list_scenarios:
        show_scenarios(console)
        return
    target = find_target(to, secret_file, use_database=demo_rows)
    database_url = Environment(os.environ).database_url() if wait and to else None
    if burst is not None:
        to_record = Environment(os.environ).database_url() if record_it else target.database_url
        _burst(console, target, burst, to_record)
        return
    choice = Choice(scenarios or tuple(SCENARIOS), count, in_order, event_id, seed)
    sent = _send(target, choice)
    show_sent(console, sent)
    if not (sent.is_well and _had_effect(console, database_url, sent)):
        raise click.exceptions.Exit(1)


def _send(target: Target, choice: Choice) -> Sent:
    with ProgressBar(console=Terminal(stderr=True), transient=True) as bar:
        task = bar.add_task("sending", total=None)

        def advance(_: Answer) -> None:
            bar.advance(task)

        return asyncio.run(send_scenarios(target, choice, within_seconds=_WAIT_SECONDS, progress=advance))


def _had_effect(console: Console, database_url: str | None, sent: Sent) -> bool:
    if database_url is None:
        return True
    late = asyncio.run(await_effects(database_url, sent.answers, within_seconds=_WAIT_SECONDS))
    show_effects(console, late)
    return not late


def _burst(console: Console, target: Target, connections: int, database_url: str | None) -> None:
    test, answers = asyncio.run(send_burst(target, connections=connections))
    show_sum(console, answers)
    show_load_test(console, test)
    if database_url is not None:
        asyncio.run(record(test, database_url))
        console.print("It is on record for `sluice status --since`.")
    if test.accepted != test.sent:
        raise click.exceptions.Exit(1)
