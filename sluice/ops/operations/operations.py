"""``sluice operations``: what operators did and do."""

import asyncio
from collections.abc import Sequence

import click

from sluice.inbox.operations import Decision
from sluice.operations import book
from sluice.operations.book import Item, NotUndoable, Operation, Progress
from sluice.ops.connection import connected
from sluice.ops.environment import detect_environment
from sluice.ops.operations.options import decision_of
from sluice.ops.operations.running import carry_out, known
from sluice.ops.operations.screen import line, story, summary
from sluice.ops.output import print_json
from sluice.ops.terminal import printable_value
from sluice.runtime.printable import printable_lines

_ID = click.argument("operation_id", metavar="NUMBER", type=click.IntRange(1))
_BY = click.option("--by", "person", envvar="SLUICE_BY", help="Who you are; default: the user of this machine.")
_JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")


@click.group(name="operations")
def operations() -> None:
    """See what operators did and do; stop it, go on with it, or undo it."""


@operations.command(name="list")
@click.option("--at-most", default=20, show_default=True, type=click.IntRange(1, 1000), help="Operations to show.")
@_JSON
def list_(*, at_most: int, as_json: bool) -> None:
    """List the newest operations: when, which verb, how far, who and why."""
    found = asyncio.run(_newest(detect_environment().database_url(), at_most))
    if as_json:
        print_json({"operations": found})
        return
    for operation in found:
        click.echo(line(printable_value(operation)))


@operations.command(name="show")
@_ID
@click.option(
    "--items", "at_most", default=20, show_default=True, type=click.IntRange(0, 100_000), help="Items to show."
)
@_JSON
def show(*, operation_id: int, at_most: int, as_json: bool) -> None:
    """Show an operation: who and why, what was chosen, and what became of each item."""
    operation, items = asyncio.run(_read(detect_environment().database_url(), operation_id, at_most))
    if as_json:
        print_json({"operation": operation, "progress": str(operation.progress), "items": items})
    else:
        click.echo(story(printable_value(operation), [printable_value(item) for item in items]))


@operations.command(name="cancel")
@_ID
@_BY
def cancel(*, operation_id: int, person: str | None) -> None:
    """Stop an operation for good, after the batch that is under way. What is done stays done."""
    by = decision_of(person, "cancelled").actor
    operation, was_open = asyncio.run(_cancel(detect_environment().database_url(), operation_id, by))
    click.echo(printable_lines(summary(operation)))
    if not was_open:
        raise click.exceptions.Exit(1)


@operations.command(name="resume")
@_ID
def resume(*, operation_id: int) -> None:
    """Go on with an operation that was cut short; each item is changed once. Exit code 1 unless it is done then."""
    operation = asyncio.run(_resume(detect_environment().database_url(), operation_id))
    click.echo(printable_lines(summary(operation)))
    if operation.progress is not Progress.DONE:
        raise click.exceptions.Exit(1)


@operations.command(name="undo")
@_ID
@click.option("--rate", type=click.IntRange(1, 100_000), help="So many a second at most.")
@click.option("--reason", required=True, help="Why; kept with your name.")
@_BY
def undo(*, operation_id: int, rate: int | None, reason: str, person: str | None) -> None:
    """
    Undo a write-off, or a resolve, by an operation of its own.

    What a write-off let rest is dead again, and its errors are unresolved; what a resolve closed is unresolved. A row
    that another operation changed since is left as it is. Retry and replay cannot be undone: what they began takes its
    course. Exit code 1 when a row was left.
    """
    decision = decision_of(person, reason)
    operation = asyncio.run(_undo(detect_environment().database_url(), operation_id, decision, rate))
    click.echo(printable_lines(summary(operation)))
    if operation.changed != operation.items:
        raise click.exceptions.Exit(1)


async def _newest(url: str, at_most: int) -> Sequence[Operation]:
    async with connected(url) as connection:
        return await book.newest(connection, at_most=at_most)


async def _read(url: str, operation_id: int, at_most: int) -> tuple[Operation, Sequence[Item]]:
    async with connected(url) as connection:
        operation = await known(connection, operation_id)
        return operation, await book.items_of(connection, operation_id, at_most=at_most)


async def _cancel(url: str, operation_id: int, person: str) -> tuple[Operation, bool]:
    async with connected(url) as connection:
        await known(connection, operation_id)
        was_open = await book.cancel(connection, operation_id, person)
        return await known(connection, operation_id), was_open


async def _resume(url: str, operation_id: int) -> Operation:
    async with connected(url) as connection:
        return await carry_out(connection, operation_id)


async def _undo(url: str, operation_id: int, decision: Decision, rate: int | None) -> Operation:
    async with connected(url) as connection:
        undone = await known(connection, operation_id)
        try:
            number = await book.start_undo(connection, undone, decision, rate=rate)
        except NotUndoable as error:
            raise click.ClickException(str(error)) from error
        return await carry_out(connection, number)
