"""``sluice export``: webhooks of a filter as JSON lines or CSV, for audit."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from sluice.operations.export import Exported, Place, csv_writer, export, json_line, place_of
from sluice.operations.filters import Filter
from sluice.ops.connection import Connection, connected
from sluice.ops.environment import detect_environment
from sluice.ops.operations.options import filter_of, filtering, say_what_is_read
from sluice.ops.output import write_out
from sluice.runtime.printable import printable

_COLUMNS = (TextColumn("{task.completed:,} webhooks"), TextColumn("{task.description}"), TimeElapsedColumn())


@dataclass
class Tally:
    """How far an export is."""

    count: int = 0
    last: Exported | None = None
    is_whole: bool = False

    def add(self, page: Sequence[Exported]) -> None:
        """Note a page that was written."""
        self.count += len(page)
        self.last = page[-1]


@click.command(name="export")
@filtering
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--bodies", "with_bodies", is_flag=True, help="With the bodies that Stripe signed; in CSV as base64.")
@click.option("--after", metavar="ID", help="Go on after this webhook, where an export was cut short.")
def command(*, form: str, with_bodies: bool, after: str | None, **options: Any) -> None:
    """
    Write webhooks to standard output, the oldest first: all, or those that the options say.

    One line each, as JSON or CSV; times are UTC. It needs little memory, however many there are, and what was cut short
    goes on with --after, which it prints. A webhook that arrives meanwhile may be among them; give --until where an
    audit must get the same again.
    """
    url, chosen = detect_environment().database_url(), filter_of(options)
    write = csv_writer(with_bodies=with_bodies) if form == "csv" else _lines_of_json(with_body=with_bodies)
    tally = Tally()
    try:
        asyncio.run(_export(url, chosen, after, write, tally, with_bodies=with_bodies))
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None
    finally:
        _conclude(tally)


def _lines_of_json(*, with_body: bool) -> Callable[[Sequence[Exported]], str]:
    return lambda page: "".join(f"{json_line(one, with_body=with_body)}\n" for one in page)


async def _export(
    url: str,
    chosen: Filter,
    after: str | None,
    write: Callable[[Sequence[Exported]], str],
    tally: Tally,
    *,
    with_bodies: bool,
) -> None:
    async with connected(url) as connection:
        place = await _place(connection, after)
        await say_what_is_read(connection, chosen)
        with Progress(*_COLUMNS, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("", total=None)
            async for page in export(connection, chosen, after=place, with_bodies=with_bodies):
                write_out(write(page))
                tally.add(page)
                reached = f"{page[-1].place.received:%Y-%m-%d %H:%M}"
                progress.update(task, completed=tally.count, description=reached)
    tally.is_whole = True


async def _place(connection: Connection, after: str | None) -> Place | None:
    if after is None:
        return None
    place = await place_of(connection, after)
    if place is None:
        raise click.ClickException(f"There is no webhook {after}. --since goes on from a time.")
    return place


def _conclude(tally: Tally) -> None:
    """Say how much was written, and how to go on."""
    if tally.is_whole:
        click.echo(f"{tally.count:,} webhooks.", err=True)
    elif tally.last is not None:
        click.echo(
            f"Cut short after {tally.count:,} webhooks. Go on with --after {printable(tally.last.item_id)}", err=True
        )
