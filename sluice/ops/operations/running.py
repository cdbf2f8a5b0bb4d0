"""Carry an operation out before a person's eyes."""

import sys

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sluice.operations import book
from sluice.operations.book import Operation
from sluice.operations.run import Runner
from sluice.ops.connection import Connection

_BAR = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


async def carry_out(connection: Connection, operation_id: int) -> Operation:
    """
    Run an operation to its end, with a bar on a terminal; how it stands then.

    Raises:
        click.ClickException: there is no such operation.
    """
    operation = await known(connection, operation_id)
    click.echo(f"Operation {operation.id}. If this is cut short: sluice operations resume {operation.id}", err=True)
    with Progress(*_BAR, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(operation.verb, total=operation.items, completed=operation.done)
        await Runner(connection, operation.id, lambda ended: progress.advance(task, ended)).run()
    return await known(connection, operation_id)


async def known(connection: Connection, operation_id: int) -> Operation:
    """
    Read an operation.

    Raises:
        click.ClickException: there is none of this number.
    """
    operation = await book.read(connection, operation_id)
    if operation is None:
        raise click.ClickException(f"There is no operation {operation_id}. `sluice operations list` shows them.")
    return operation
