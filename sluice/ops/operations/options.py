"""Options that the commands share: the filter, and who decides and why."""

import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from sluice.inbox.operations import Decision
from sluice.inbox.states import State
from sluice.operations.filters import Filter
from sluice.operations.webhooks import count_webhooks
from sluice.ops.connection import Connection
from sluice.ops.durations import Span

F = TypeVar("F", bound=Callable[..., Any])
_MANY_BODIES = 10_000
_STATES = [str(state) for state in State]


class Moment(click.ParamType[datetime]):
    """A moment such as 2026-11-30, 2026-11-30T09:00Z, or 48h for so long ago; without a zone in UTC."""

    name = "moment"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the moment that a person means."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return datetime.now(UTC) - timedelta(seconds=Span().convert(value, param, ctx))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_FILTER = (
    click.argument("ids", metavar="[ID]...", nargs=-1),
    click.option("--type", "types", multiple=True, metavar="GLOB", help="Event type, such as 'charge.*'; repeatable."),
    click.option("--account", metavar="ACCT", help="Connected account."),
    click.option("--organiser", metavar="ID", help="Events row whose URL received it."),
    click.option("--since", type=Moment(), help="Received since: 48h (ago), 2026-11-30, 2026-11-30T09:00Z."),
    click.option("--until", type=Moment(), help="Received before."),
    click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Repeatable."),
    click.option("--outcome", metavar="WORD", help="applied, ignored, unmatched, failed, …"),
    click.option("--object", "object_id", metavar="ID", help="Object that it is about, such as pi_… or ch_…."),
    click.option(
        "--customer", metavar="CUS", help="Customer that the object names; reads each body, so narrow it down."
    ),
    click.option("--failed-in", "handler", metavar="NAME", help="Handler that failed."),
    click.option("--error", metavar="TEXT", help="Part of the error."),
    click.option(
        "--verified-by",
        metavar="WORD",
        help="Secret that verified it, or api: no webhook brought it.",
    ),
)


def filtering(command: F) -> F:
    """Give a command the options of a filter."""
    for option in reversed(_FILTER):
        command = option(command)
    return command


def filter_of(options: Mapping[str, Any]) -> Filter:
    """
    Make a filter of a command's options.

    Raises:
        click.UsageError: a text is none that PostgreSQL could hold.
    """
    texts: Sequence[object] = [
        text for value in options.values() for text in (value if isinstance(value, tuple) else [value])
    ]
    if any(isinstance(text, str) and ("\0" in text or not text.strip()) for text in texts):
        raise click.UsageError("An empty text, or one with a NUL, finds nothing.")
    states = [State[name.upper()] for name in options["states"]]
    return Filter(**{**options, "states": states})


async def say_what_is_read(connection: Connection, chosen: Filter) -> None:
    """Say on stderr how many bodies are read for a customer, where they are many."""
    if chosen.customer is None:
        return
    count = await count_webhooks(connection, replace(chosen, customer=None))
    if count > _MANY_BODIES:
        click.echo(f"Reading {count:,} bodies for --customer; --since and --type make them fewer.", err=True)


def decision_of(person: str | None, reason: str) -> Decision:
    """
    Name who decides, and why.

    Raises:
        click.UsageError: one of them is no text.
    """
    person = _user() if person is None else person
    if not reason.strip() or not person.strip() or "\0" in reason + person:
        raise click.UsageError("Say why, and who you are: --reason and --by must be texts.")
    return Decision(person.strip(), reason.strip())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "an operator"
