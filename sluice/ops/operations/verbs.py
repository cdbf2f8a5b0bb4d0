"""``sluice retry``, ``sluice replay``, ``sluice write-off`` and ``sluice resolve``: operations on a set of rows."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import click

from sluice.inbox import operations as inbox
from sluice.inbox.operations import Decision
from sluice.operations import book
from sluice.operations.book import Operation, Preview
from sluice.operations.filters import Filter
from sluice.operations.handlers import history_states
from sluice.operations.rehearsals import Rehearsal
from sluice.operations.verbs import Verb
from sluice.ops.connection import Connection, connected
from sluice.ops.environment import detect_environment
from sluice.ops.operations import diff_screen
from sluice.ops.operations.options import decision_of, filter_of, filtering, say_what_is_read
from sluice.ops.operations.rehearsing import rehearse, run_of
from sluice.ops.operations.running import carry_out
from sluice.ops.operations.screen import summary
from sluice.ops.output import print_json
from sluice.runtime.printable import printable, printable_lines

_NAMED: Final = 20
"""So many ids at most have an answer each."""
_DONE = {
    Verb.RETRY: "due now",
    Verb.REPLAY: "due now, with all attempts",
    Verb.WRITE_OFF: "written off",
    Verb.RESOLVE: "resolved",
}
_UNKNOWN = ("no such webhook", "no such error is open")
_MANNER = (
    click.option("--all", "is_all", is_flag=True, help="Needed where no filter narrows the set down."),
    click.option("--dry-run", is_flag=True, help="Count and name what would be changed; change nothing."),
    click.option("--limit", type=click.IntRange(1), help="The oldest so many."),
    click.option("--rate", type=click.IntRange(1, 100_000), help="So many a second at most."),
    click.option("--yes", is_flag=True, help="Do not ask before a set is changed that a filter found."),
    click.option("--reason", help="Why; kept with your name. Needed but for --dry-run and --diff."),
    click.option("--by", "person", envvar="SLUICE_BY", help="Who you are; default: the user of this machine."),
)


_REHEARSED = (
    click.option(
        "--diff", "is_diff", is_flag=True, help="Run the handlers, roll back, and show which rows would change."
    ),
    click.option("--json", "as_json", is_flag=True, help="With --diff: for machines."),
)
_BY_ITSELF = (
    click.option("--handler", "runs", metavar="NAME", help="Run this one alone, over processed webhooks, each once."),
    click.option("--again", is_flag=True, help="With --handler: also over webhooks that it has had."),
)


@dataclass(frozen=True)
class Request:
    """Order of an operator."""

    verb: Verb
    chosen: Filter
    rate: int | None
    limit: int | None
    asks_first: bool
    runs: str | None = None
    """The handler that runs alone; None: the verb takes its course."""
    again: bool = False

    @property
    def done(self) -> str:
        """Word for a webhook that was changed."""
        return _DONE[self.verb] if self.runs is None else "handled"

    @property
    def read(self) -> Filter:
        """The filter with the states in which the verb takes a webhook."""
        takes = history_states(self.chosen) if self.runs else self.verb.rules.states(self.chosen)
        return replace(self.chosen, states=takes or self.chosen.states)

    @property
    def names(self) -> Sequence[str]:
        """Rows that were named one by one, each of which wants an answer; the id of a webhook names no single error."""
        ids = list(dict.fromkeys(self.chosen.ids))
        rows = [one for one in ids if one.isdecimal()] if self.verb is Verb.RESOLVE else ids
        return rows if len(rows) <= _NAMED else []


def _operating(command: Callable[..., None]) -> Callable[..., None]:
    return filtering(_with(_MANNER, command))


def _with(options: Sequence[Callable[..., Any]], command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command


def _rehearsed(command: Callable[..., None]) -> Callable[..., None]:
    return _with(_REHEARSED, command)


def _by_itself(command: Callable[..., None]) -> Callable[..., None]:
    return _with(_BY_ITSELF, command)


@click.command(name="retry")
@_operating
@_rehearsed
def retry(**options: Any) -> None:
    """
    Try webhooks now that wait for their next attempt.

    ID is a webhook's stripe_event_id; or options find them. They must be queued, failed, parked or postponed; their
    attempts count on. Exit code 1 when one that you named was left as it is.
    """
    _operate(Verb.RETRY, **options)


@click.command(name="replay")
@_operating
@_rehearsed
@_by_itself
def replay(**options: Any) -> None:
    """
    Try dead webhooks again, as if never tried.

    ID is a webhook's stripe_event_id; or options find them. Dead ones are meant, unless --state processed or --state
    written_off says otherwise: then handlers run again for what had its effect. What Sluice itself keeps does not
    change by that, for it keeps each fact once; your own handlers must bear it. Exit code 1 when one that you named was
    left as it is.

    With --handler, one handler runs by itself over what is processed, and has each webhook once: those before a
    processor first had it. A processor does it; this command looks on, and may go away.
    """
    _operate(Verb.REPLAY, **options)


@click.command(name="write-off")
@_operating
def write_off(**options: Any) -> None:
    """
    Let dead webhooks rest without an effect.

    ID is a webhook's stripe_event_id; or options find them. The row and its last error stay, its errors are resolved;
    it counts as a death for ever, and health no longer counts it as dead. Exit code 1 when one that you named was
    left as it is.
    """
    _operate(Verb.WRITE_OFF, **options)


@click.command(name="resolve")
@_operating
def resolve(**options: Any) -> None:
    """
    Mark errors as looked at.

    ID is the id of a row of error_logs, or a webhook's stripe_event_id for all of its errors; or options find them.
    --reason is the note. Exit code 1 when one that you named was left as it is.
    """
    _operate(Verb.RESOLVE, **options)


def _operate(
    verb: Verb,
    *,
    is_all: bool,
    dry_run: bool,
    limit: int | None,
    rate: int | None,
    yes: bool,
    reason: str | None,
    person: str | None,
    is_diff: bool = False,
    as_json: bool = False,
    runs: str | None = None,
    again: bool = False,
    **options: Any,
) -> None:
    chosen = filter_of(options)
    if not chosen.is_narrow and not is_all:
        raise click.UsageError("That would be everything. Say which by ids or options, or mean it: --all.")
    takes = history_states(chosen) if runs else verb.rules.states(chosen)
    if verb.rules.of_itself and not takes:
        raise click.UsageError(f"{verb} takes no webhook in such a state.")
    request = Request(verb, chosen, rate, limit, asks_first=not yes and not chosen.ids, runs=runs, again=again)
    url = detect_environment().database_url()
    if dry_run:
        _show(asyncio.run(_preview(url, request)), verb)
        return
    if is_diff:
        _show_diff(asyncio.run(_rehearse(url, request, decision_of(person, "a rehearsal").actor)), as_json=as_json)
        return
    decision = decision_of(person, reason or "")
    if request.asks_first:
        _ask(asyncio.run(_preview(url, request)), verb)
    is_whole = asyncio.run(_start_and_run(url, request, decision))
    if not is_whole:
        raise click.exceptions.Exit(1)


async def _preview(url: str, request: Request) -> Preview:
    async with connected(url) as connection:
        run = await run_of(connection, request.runs, again=request.again)
        await say_what_is_read(connection, request.read)
        return await book.preview(connection, request.verb, request.chosen, limit=request.limit, run=run)


async def _rehearse(url: str, request: Request, person: str) -> Rehearsal:
    async with connected(url) as connection:
        run = await run_of(connection, request.runs, again=request.again)
        return await rehearse(connection, request.verb, request.chosen, person, run=run, limit=request.limit)


def _show_diff(rehearsal: Rehearsal, *, as_json: bool) -> None:
    if as_json:
        print_json(rehearsal)
    elif rehearsal.diff is not None:
        diff_screen.show(rehearsal, rehearsal.diff)


def _show(preview: Preview, verb: Verb) -> None:
    click.echo(f"{verb} would be about {preview.count:,}:")
    for part in preview.counted:
        click.echo(printable(f"{part.count:>9,}  {part.state:<12} {part.kind or ''}".rstrip()))
    if preview.sample:
        click.echo(printable("first: " + ", ".join(preview.sample)))


def _ask(preview: Preview, verb: Verb) -> None:
    _show(preview, verb)
    click.confirm("Go on?", abort=True)


async def _start_and_run(url: str, request: Request, decision: Decision) -> bool:
    """Do it; whether all that was named was changed."""
    async with connected(url) as connection:
        run = await run_of(connection, request.runs, again=request.again)
        if not request.asks_first:
            await say_what_is_read(connection, request.read)
        operation_id = await book.start(
            connection, request.verb, request.chosen, decision, rate=request.rate, limit=request.limit, run=run
        )
        operation = await carry_out(connection, operation_id)
        changed = await _tell_of_each(connection, request, operation)
    click.echo(printable_lines(summary(operation)))
    found_some = operation.items > 0 or not request.chosen.ids
    return found_some and len(changed) == len(request.names) and operation.changed == operation.items


async def _tell_of_each(connection: Connection, request: Request, operation: Operation) -> Sequence[str]:
    if not request.names:
        return []
    items = {item.item_id: item for item in await book.items_of(connection, operation.id, at_most=_NAMED)}
    states = await inbox.read_states(connection, request.names) if request.verb is not Verb.RESOLVE else {}
    changed = [name for name in request.names if name in items and items[name].result == "changed"]
    for name in request.names:
        if name in changed:
            told = request.done
        elif name in items:
            told = f"left as it is: {items[name].result}"
        else:
            told = f"left as it is: {states.get(name, _UNKNOWN[request.verb is Verb.RESOLVE])}"
        click.echo(printable(f"{name}: {told}"))
    return changed
