"""``sluice events``."""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from types import MappingProxyType
from urllib.parse import urlencode

import click

from sluice.ops.output import print_json
from sluice.ops.terminal import Terminal
from sluice.payments.families import EVENT_TYPES
from sluice.payments.fetched import FETCHED_TYPES
from sluice.registry import Registry, discover, name_of

_SERVICE = "processor.handlers"  # by its name: the shared package imports no service
EXAMPLES = """\b
Examples:
  sluice events
  sluice events --format curl | sh
  curl -u "$STRIPE_SECRET_KEY:" -d "$(sluice events --format api)" \\
    https://api.stripe.com/v1/webhook_endpoints/we_...
  sluice events --format terraform --json > enabled_events.json
  stripe listen --forward-to localhost:3000/api/stripe-webhook \\
    --events "$(sluice events --format stripe)\""""


class Format(StrEnum):
    """How the types are written."""

    TABLE = "table"
    LIST = "list"
    JSON = "json"
    API = "api"
    CURL = "curl"
    STRIPE = "stripe"
    TERRAFORM = "terraform"


def installed_handlers() -> Registry:
    """Handlers of the processor with all packages that are installed here."""
    return discover(import_module(_SERVICE))


def handled_types(registry: Registry | None = None) -> Mapping[str, Sequence[str]]:
    """
    Every handled type of Stripe's, in order, with the names of its handlers.

    Args:
        registry: by default that of the processor with all installed packages.
    """
    known = installed_handlers() if registry is None else registry
    types = sorted(known.types.difference(FETCHED_TYPES.values()))
    return {name: [name_of(handler) for handler in known.handlers_for(name)] for name in types}


def is_preview(event_type: str) -> bool:
    """Whether Stripe refuses a subscription to this type unless the account is in a preview."""
    known = EVENT_TYPES.get(event_type)
    return known is not None and known.is_preview


@click.command(name="events", epilog=EXAMPLES)
@click.option(
    "--format", "written_as", type=click.Choice([one.value for one in Format]), default=Format.TABLE.value,
    show_default=True,
    help="api: form fields for an API call. curl: a call that makes an endpoint. stripe: for the Stripe CLI. "
    "terraform: for its Stripe provider.",
)  # fmt: skip
@click.option("--preview", "with_previews", is_flag=True, help="Also types that Stripe offers to previews alone.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: with the handlers, or for api and terraform alone.")
def command(*, written_as: str, with_previews: bool, as_json: bool) -> None:
    """
    Print the types that a Stripe endpoint must be subscribed to.

    They are those that the installed handlers have registered, Sluice's own and those of other packages. What an
    endpoint gets beyond them is recorded and ignored; what it does not get has no effect. Needs no database.
    """
    types = {name: names for name, names in handled_types().items() if with_previews or not is_preview(name)}
    shown = Format(written_as)
    if shown is Format.JSON or (as_json and shown is Format.TABLE):
        print_json({"enabled_events": list(types), "handlers": types})
    elif as_json:
        print_json({"enabled_events": list(types)})
    elif shown is Format.TABLE:
        _show(types)
    else:
        click.echo(_WRITERS[shown](list(types)))


def _show(types: Mapping[str, Sequence[str]]) -> None:
    by_handlers: dict[tuple[str, ...], list[str]] = {}
    for name, handlers in types.items():
        by_handlers.setdefault(tuple(handlers), []).append(name)
    console = Terminal(soft_wrap=True)
    for handled_by, names in by_handlers.items():
        for handler in handled_by:
            console.print(handler, style="dim")
        for name in names:
            console.print(f"  {name}")
    console.print(f"\n{len(types)} types; --format api, curl, stripe or terraform writes them for Stripe.", style="dim")


def _as_form(types: Sequence[str]) -> str:
    return urlencode([("enabled_events[]", name) for name in types], safe="[]")


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
    {
        Format.LIST: "\n".join,
        Format.API: _as_form,
        Format.CURL: _as_curl,
        Format.STRIPE: ",".join,
        Format.TERRAFORM: _as_terraform,
    }
)
