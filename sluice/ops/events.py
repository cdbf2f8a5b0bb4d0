"""``sluice events``."""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from types import MappingProxyType

import click
from rich.table import Table

from sluice.ops.output import print_json
from sluice.ops.terminal import Terminal
from sluice.registry import Registry, discover, name_of

_SERVICE = "processor.handlers"  # by its name: the shared package imports no service
EXAMPLES = """\b
Examples:
  sluice events
  sluice events --format curl | sh
  stripe listen --events "$(sluice events --format stripe)" --forward-to localhost:3000/api/stripe-webhook"""


class Format(StrEnum):
    """How the types are written."""

    TABLE = "table"
    LIST = "list"
    JSON = "json"
    CURL = "curl"
    STRIPE = "stripe"
    TERRAFORM = "terraform"


def handled_types(registry: Registry | None = None) -> Mapping[str, Sequence[str]]:
    """
    Every type that somebody handles, in order, with the names of its handlers.

    Args:
        registry: by default that of the processor with all installed packages.
    """
    known = discover(import_module(_SERVICE)) if registry is None else registry
    return {name: [name_of(handler) for handler in known.handlers_for(name)] for name in sorted(known.types)}


@click.command(name="events", epilog=EXAMPLES)
@click.option(
    "--format", "written_as", type=click.Choice([one.value for one in Format]), default=Format.TABLE.value,
    show_default=True,
    help="curl: a call that makes an endpoint. stripe: for the Stripe CLI. terraform: for its Stripe provider.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For machines; the same as --format json.")
def command(*, written_as: str, as_json: bool) -> None:
    """
    The types that an endpoint must be subscribed to.

    They are those that the installed handlers have registered, Sluice's own and those of other packages. What an
    endpoint gets beyond them is recorded and ignored; what it does not get has no effect. Needs no database.
    """
    types = handled_types()
    shown = Format.JSON if as_json else Format(written_as)
    if shown is Format.TABLE:
        _show(types)
    elif shown is Format.JSON:
        print_json({"enabled_events": list(types), "handlers": types})
    else:
        click.echo(_WRITERS[shown](list(types)))


def _show(types: Mapping[str, Sequence[str]]) -> None:
    table = Table("type", "handled by", box=None, pad_edge=False)
    for name, handlers in types.items():
        table.add_row(name, " ".join(handlers))
    console = Terminal()
    console.print(table)
    console.print(f"\n{len(types)} types; --format curl, stripe or terraform writes them for an endpoint.", style="dim")


def _as_curl(types: Sequence[str]) -> str:
    lines = [
        "curl https://api.stripe.com/v1/webhook_endpoints",
        '-u "$STRIPE_SECRET_KEY:"',
        '-d url="${WEBHOOK_URL:?https://your.host/api/stripe-webhook}"',
        *(f'-d "enabled_events[]={name}"' for name in types),
    ]
    return " \\\n  ".join(lines)


def _as_terraform(types: Sequence[str]) -> str:
    return "enabled_events = " + json.dumps(list(types), indent=2)


_WRITERS: Mapping[Format, Callable[[Sequence[str]], str]] = MappingProxyType(
    {Format.LIST: "\n".join, Format.CURL: _as_curl, Format.STRIPE: ",".join, Format.TERRAFORM: _as_terraform}
)
