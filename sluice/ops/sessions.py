"""``sluice sessions``: who holds PostgreSQL's connections, transactions and locks."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sluice.ops.connection import Connection, connected
from sluice.ops.durations import as_words
from sluice.ops.environment import detect_environment
from sluice.ops.output import print_json
from sluice.ops.terminal import Terminal, printable_value
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "sessions.sql")
_HIDDEN = "What others do is hidden from this login. The cure:\n  GRANT pg_read_all_stats TO sluice_operator;"


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """One session with a transaction."""

    pid: int
    login: str | None
    application: str
    state: str | None
    open_seconds: float
    waits_for_lock: bool
    waits_for: Sequence[int]
    """Sessions that hold what it wants."""
    query: str


@dataclass(frozen=True, slots=True)
class PreparedTransaction:
    """One transaction that waits for its COMMIT PREPARED."""

    gid: str
    login: str
    open_seconds: float


@dataclass(frozen=True, slots=True)
class Sessions:
    """All that holds something."""

    used: int
    allowed: int
    applications: Mapping[str, int]
    transactions: Sequence[OpenTransaction]
    prepared: Sequence[PreparedTransaction]
    sees_all: bool


@click.command(name="sessions")
@click.option("--at-most", default=20, show_default=True, type=click.IntRange(1, 1000), help="Transactions to show.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(*, at_most: int, as_json: bool) -> None:
    """
    Show who holds PostgreSQL's connections, transactions and locks.

    Open transactions, the oldest first, each with the sessions that it waits for; connections by application; prepared
    transactions. A login sees other logins' sessions in full when it is a member of pg_read_all_stats.
    """
    sessions = asyncio.run(_look(detect_environment().database_url(), at_most))
    print_json(sessions) if as_json else _show(Terminal(), printable_value(sessions))


async def _look(url: str, at_most: int) -> Sessions:
    async with connected(url) as connection, connection.transaction(readonly=True):
        [server] = await connection.fetch(QUERIES["server"])
        return Sessions(
            used=server["used"],
            allowed=server["allowed"],
            applications=await _applications(connection),
            transactions=[OpenTransaction(**row) for row in await connection.fetch(QUERIES["transactions"], at_most)],
            prepared=[PreparedTransaction(**row) for row in await connection.fetch(QUERIES["prepared"], at_most)],
            sees_all=await connection.fetchval(QUERIES["may_see"]),
        )


async def _applications(connection: Connection) -> Mapping[str, int]:
    return {row["application"]: row["connections"] for row in await connection.fetch(QUERIES["applications"])}


def _show(console: Console, sessions: Sessions) -> None:
    held = ", ".join(f"{name} {count}" for name, count in sessions.applications.items())
    console.print(f"connections: {sessions.used} of {sessions.allowed}: {escape(held)}")
    console.print(_table(sessions.transactions) if sessions.transactions else "no transaction is open")
    for one in sessions.prepared:
        told = f"prepared transaction {one.gid} of {one.login}, for {as_words(one.open_seconds)}"
        console.print(f"[yellow]{escape(told)}[/]")
    if not sessions.sees_all:
        console.print(f"[yellow]{_HIDDEN}[/]")


def _table(transactions: Sequence[OpenTransaction]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    table.add_column("pid", justify="right", no_wrap=True)
    table.add_column("who", overflow="fold")
    table.add_column("state", overflow="fold")
    table.add_column("open for", justify="right", no_wrap=True)
    table.add_column("waits for", overflow="fold")
    table.add_column("statement", overflow="ellipsis", no_wrap=True)
    for one in transactions:
        who = f"{one.login} ({one.application})" if one.application else str(one.login)
        waits = ", ".join(map(str, one.waits_for)) or ("a lock" if one.waits_for_lock else "")
        cells = (str(one.pid), who, one.state or "", as_words(one.open_seconds), waits, one.query)
        table.add_row(*map(escape, cells))
    return table
