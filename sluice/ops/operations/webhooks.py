"""``sluice ls`` and ``sluice show``: webhooks as they stand."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from shutil import get_terminal_size
from textwrap import fill
from typing import Any, Protocol

import click

from sluice.inbox.states import State
from sluice.operations.filters import Filter
from sluice.operations.webhooks import (
    ErrorTold,
    Listed,
    WebhookStory,
    newest_errors,
    newest_webhooks,
    read_error,
    read_webhook,
)
from sluice.ops.connection import Connection, connected
from sluice.ops.environment import detect_environment
from sluice.ops.operations.options import filter_of, filtering, say_what_is_read
from sluice.ops.operations.pauses import handlers_of, wait_in_words
from sluice.ops.output import print_json
from sluice.ops.terminal import printable_value
from sluice.runtime.printable import printable

_JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")
_ID_COLUMNS = 32
_ERRORS = 3
"""So many of a webhook's errors are shown; --json has more."""


@click.command(name="ls")
@filtering
@click.option("--errors", "of_errors", is_flag=True, help="List unresolved errors instead, those that resolve finds.")
@click.option("--at-most", default=30, show_default=True, type=click.IntRange(1, 100_000), help="Webhooks to show.")
@_JSON
def list_(*, of_errors: bool, at_most: int, as_json: bool, **options: Any) -> None:
    """
    List webhooks, the newest first: received, state, attempts, type, and the error.

    The options say which; without any all are meant. Times are UTC. Lines are cut to the terminal; --json has them
    whole, and `sluice show ID` tells all of one. With --errors, rows of error_logs by the same options: those of
    webhooks that the options find, by their own text with --error, by their own id.
    """
    read = newest_errors if of_errors else newest_webhooks
    found = asyncio.run(_list(detect_environment().database_url(), read, filter_of(options), at_most + 1))
    shown, has_more = found[:at_most], len(found) > at_most
    if as_json:
        listed = [_as_error(one) for one in shown] if of_errors else shown
        print_json({"errors" if of_errors else "webhooks": listed, "has_more": has_more})
        return
    id_width = min(max((len(one.item_id) for one in shown), default=0), _ID_COLUMNS)
    for one in map(printable_value, shown):
        click.echo(cut(_error_line(one, id_width) if of_errors else line_of(one, id_width)))
    if has_more:
        click.echo(f"There are more: --at-most {2 * at_most}, or narrow it down.", err=True)


@click.command(name="show")
@click.argument("event_id", metavar="ID")
@_JSON
def show(*, event_id: str, as_json: bool) -> None:
    """
    Show one webhook: its state, its errors, and what operators did with it; or one error.

    ID is a webhook's stripe_event_id, or the id of an error. Exit code 1 when there is none. `sluice why ID` tells of a
    webhook's payment as well.
    """
    if not event_id.strip() or "\0" in event_id:
        raise click.UsageError("That can be no id. Give one, such as evt_….")
    found = asyncio.run(_read(detect_environment().database_url(), event_id.strip()))
    if found is None:
        raise click.ClickException(f"There is no webhook and no error {event_id}. `sluice ls` finds some.")
    if as_json:
        print_json(found)
    else:
        lines = _lines(found) if isinstance(found, WebhookStory) else _lines_of_error(found)
        click.echo("\n".join(map(_wrapped, lines)))


class _Reader(Protocol):
    """Reads the newest rows of a filter."""

    async def __call__(self, session: Connection, chosen: Filter, *, at_most: int) -> Sequence[Listed]: ...


async def _list(url: str, read: _Reader, chosen: Filter, at_most: int) -> Sequence[Listed]:
    async with connected(url) as connection:
        await say_what_is_read(connection, chosen)
        return await read(connection, chosen, at_most=at_most)


async def _read(url: str, event_id: str) -> WebhookStory | ErrorTold | None:
    async with connected(url) as connection:
        return await read_webhook(connection, event_id, handlers_of) or await read_error(connection, event_id)


def line_of(one: Listed, id_width: int) -> str:
    """Give one webhook, and the error that it died or waits with below it."""
    line = f"{one.item_id:<{id_width}}  {one.created_at:%m-%d %H:%M}  {one.state:<11}  {one.attempts:>2}  {one.kind}"
    return line if one.error is None or one.state == "processed" else f"{line}\n    {one.error}"


def _error_line(one: Listed, id_width: int) -> str:
    """Give one error with its severity, the service that met it and its webhook, and its text below."""
    line = f"{one.item_id:<{id_width}}  {one.created_at:%m-%d %H:%M}  {one.outcome:<8}  {one.kind or '-':<10}"
    return f"{line}  {one.object_id or ''}".rstrip() + f"\n    {one.error or ''}"


def _as_error(one: Listed) -> Mapping[str, object]:
    return {
        "id": one.item_id,
        "created_at": one.created_at,
        "severity": one.outcome,
        "service": one.kind,
        "stripe_event_id": one.object_id,
        "message": one.error,
    }


def cut(text: str) -> str:
    """Make each line fit the terminal."""
    width = get_terminal_size().columns
    lines = (printable(line) for line in text.splitlines())
    return "\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in lines)


def _wrapped(line: str) -> str:
    """Break between words what is longer than the terminal."""
    return fill(
        printable(line),
        get_terminal_size().columns,
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _moment(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else None


def _repeats(count: int) -> str:
    return {0: "", 1: ", and once more"}.get(count, f", and {count} more times")


def _lines_of_error(error: ErrorTold) -> Sequence[str]:
    facts = {
        "severity": error.severity,
        "at": _moment(error.created_at),
        "service": error.service,
        "webhook": error.stripe_event_id,
        "resolved": _moment(error.resolved_at) or ("yes" if error.resolved else "no"),
        "message": error.message,
        "details": error.request_data,
    }
    trace = (error.stack_trace or "").splitlines()
    return [f"error {error.id}", *(f"  {name:<10}{value}" for name, value in facts.items() if value), *trace]


def _lines(story: WebhookStory) -> Sequence[str]:
    one = story.webhook
    facts = {
        "state": f"{one.state}: {State[one.state.upper()].meaning.replace('`', '')}",
        "type": one.kind,
        "object": one.object_id,
        "account": one.account or "the platform",
        "organiser": one.organiser,
        "mode": {True: "live", False: "test", None: None}[one.livemode],
        "received": f"{_moment(one.created_at)}{_repeats(story.repeats)}",
        "verified": one.verified_by,
        "attempts": f"{one.attempts}, published {one.publications} times",
        "next": None if one.processed_at or one.dead_at else _moment(one.next_attempt_at),
        "paused": wait_in_words(story.wait) if story.wait else None,
        "processed": _moment(one.processed_at),
        "dead": _moment(one.dead_at),
        "outcome": one.outcome,
        "error": one.error,
        "body": f"{one.body_bytes:,} bytes" if one.body_bytes is not None else "none",
    }
    return [
        one.item_id,
        *(f"  {name:<10}{value}" for name, value in facts.items() if value),
        *(
            f"  error {error.id}  {error.created_at:%Y-%m-%d %H:%M}  {error.severity}"
            f"{' (resolved)' if error.resolved else ''}: {error.message}"
            for error in story.errors[:_ERRORS]
        ),
        *([f"  and {more} older errors"] if (more := len(story.errors) - _ERRORS) > 0 else []),
        *(
            f"  operation {done.operation_id}  {done.started_at:%Y-%m-%d %H:%M}  {done.verb}, "
            f"{done.result or 'to come'}, by {done.person}: {done.reason}"
            for done in story.operations
        ),
    ]
