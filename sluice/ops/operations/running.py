"""Carry an operation out before a person's eyes, or look on while a processor does."""

import asyncio
import sys
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sluice.operations import book
from sluice.operations.book import Operation
from sluice.operations.run import Runner
from sluice.ops.connection import Connection

_LOOK_SECONDS: Final = 0.5
_SOON_SECONDS: Final = 15.0
_BAR = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


async def carry_out(connection: Connection, operation_id: int) -> Operation:
    """
    Run an operation to its end, with a bar on a terminal; how it stands then.

    Raises:
        click.ClickException: there is no such operation.
    """
    operation = await known(connection, operation_id)
    if operation.handler is not None:
        return await look_on(connection, operation)
    click.echo(f"Operation {operation.id}. If this is cut short: sluice operations resume {operation.id}", err=True)
    with Progress(*_BAR, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(operation.verb, total=operation.items, completed=operation.done)
        await Runner(connection, operation.id, lambda ended: progress.advance(task, ended)).run()
    return await known(connection, operation_id)


async def look_on(connection: Connection, operation: Operation) -> Operation:
    """Wait until a processor has run a handler over all items, with a bar on a terminal; how it stands then."""
    click.echo(
        f"Operation {operation.id}: a processor carries it out, also if you leave.\n"
        f"To stop it: sluice operations cancel {operation.id}. To see it: sluice operations resume {operation.id}",
        err=True,
    )
    clock, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    is_told = False
    with Progress(*_BAR, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(operation.verb, total=operation.items, completed=operation.done)
        while operation.progress is book.Progress.OPEN:
            await asyncio.sleep(_LOOK_SECONDS)
            operation = await known(connection, operation.id)
            progress.update(task, completed=operation.done)
            if not is_told and operation.done == 0 and clock.time() - began > _SOON_SECONDS:
                is_told = True
                click.echo(
                    f"No processor has begun. Is one with {operation.handler} running, and not paused?", err=True
                )
    return operation


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
