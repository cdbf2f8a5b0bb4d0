"""``sluice why``."""

import asyncio

import click

from sluice.ops.connection import connected
from sluice.ops.environment import Environment, detect_environment
from sluice.ops.operations.pauses import handlers_of
from sluice.ops.output import print_json
from sluice.ops.terminal import Terminal
from sluice.ops.why.history import PaymentHistory
from sluice.ops.why.lookup import NEWEST, look_up
from sluice.ops.why.screen import show

_LONGEST_ID = 600
EXAMPLES = """\b
Examples:
  sluice why pi_3Qw9…
  sluice why 5f0c2e9e-8d1b-4c57-9f0e-2a1f6f1c2b11
  sluice why evt_1Rk… --json | jq .webhooks"""


@click.command(name="why", epilog=EXAMPLES)
@click.argument("asked", metavar="ID")
@click.option("--at-most", default=20, show_default=True, type=click.IntRange(1, 1000), help="Payments to show.")
@click.option("--whole-log", is_flag=True, help=f"Look through older webhooks than the newest {NEWEST:,}, too.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(*, asked: str, at_most: int, whole_log: bool, as_json: bool) -> None:
    """
    Show the whole history of one payment.

    ID is an event (evt_), anything of a payment (pi_, cs_, ch_, re_, du_, in_, sub_), or the id of an events row. Told
    are the row and which payment decided its status, each payment with its binding and its ledger (what each Stripe
    event said, and what the payment was from then on), and each webhook: when it came, how often, which secret
    verified it, its attempts, errors and outcome. Times are UTC,
    amounts in the currency's smallest unit. Exit code 1 when nothing is known of the ID.
    """
    if not asked.strip() or "\0" in asked or len(asked) > _LONGEST_ID:
        raise click.UsageError("That can be no id. Give one, such as evt_…, pi_… or the id of an events row.")
    history = asyncio.run(_tell(detect_environment(), asked.strip(), at_most, None if whole_log else NEWEST))
    if as_json:
        print_json(history)
    elif not history.is_empty:
        show(Terminal(), history)
    if history.is_empty:
        raise click.ClickException(_nothing_known(asked, whole_log=whole_log))


async def _tell(environment: Environment, asked: str, at_most: int, newest: int | None) -> PaymentHistory:
    async with connected(environment.database_url()) as connection:
        return await look_up(connection, asked, at_most=at_most, handlers_of=handlers_of, newest=newest)


def _nothing_known(asked: str, *, whole_log: bool) -> str:
    if asked.startswith("evt_"):
        return (
            f"Nothing is known of {asked}: this Sluice never accepted it. "
            "Stripe's dashboard shows whether it was sent, where to, and what was answered."
        )
    if whole_log:
        return f"Nothing is known of {asked}: no events row has this id, and no accepted webhook is about it."
    return (
        f"Nothing is known of {asked}: no events row has this id, no payment, and none of the newest {NEWEST:,} "
        "webhooks is about it. `--whole-log` looks through the older ones, too."
    )
