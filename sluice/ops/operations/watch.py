"""``sluice watch``: webhooks, or operations, as they change."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import click
import orjson

from sluice.operations.filters import Filter
from sluice.operations.following import OperationFollower, OperationSeen, WebhookFollower
from sluice.operations.webhooks import Listed
from sluice.ops.connection import connected
from sluice.ops.environment import detect_environment
from sluice.ops.operations.options import filter_of, filtering
from sluice.ops.operations.webhooks import cut, line_of
from sluice.ops.output import write_out
from sluice.ops.terminal import printable_value
from sluice.runtime.printable import printable, printable_json

_SECONDS: Final = 1.0
_ID_WIDTH: Final = 28


@click.command(name="watch")
@filtering
@click.option("--operations", "of_operations", is_flag=True, help="Follow what operators do instead.")
@click.option("--json", "as_json", is_flag=True, help="For machines: one object a line.")
def command(*, of_operations: bool, as_json: bool, **options: Any) -> None:
    """
    Follow webhooks as they arrive and change: received, state, attempts, type, and the error.

    The options say which; --state tells only of those that come into that state. It ends with Ctrl-C, and looks once a
    second, by marks and ids, so it costs a busy database next to nothing.
    """
    if of_operations and any(options.values()):
        raise click.UsageError("--operations takes no filter.")
    url, chosen = detect_environment().database_url(), filter_of(options)
    try:
        asyncio.run(_follow_operations(url, as_json) if of_operations else _follow(url, chosen, as_json))
    except KeyboardInterrupt:
        return


async def _follow(url: str, chosen: Filter, as_json: bool) -> None:
    tell: Callable[[Listed], str] = _as_json if as_json else _as_line
    async with connected(url) as connection:
        follower = await WebhookFollower.begin(connection, chosen)
        while True:
            for one in await follower.look():
                write_out(f"{tell(one)}\n")
            if not follower.has_more:
                await asyncio.sleep(_SECONDS)


async def _follow_operations(url: str, as_json: bool) -> None:
    tell: Callable[[OperationSeen], str] = _as_json if as_json else _as_operation
    async with connected(url) as connection:
        follower = OperationFollower(connection)
        while True:
            for one in await follower.look():
                write_out(f"{tell(one)}\n")
            await asyncio.sleep(_SECONDS)


def _as_json(one: Listed | OperationSeen) -> str:
    return printable_json(orjson.dumps(one).decode())


def _as_line(one: Listed) -> str:
    return cut(line_of(printable_value(one), _ID_WIDTH))


def _as_operation(one: OperationSeen) -> str:
    far = f"{one.done:>7,}/{one.items:<7,}"
    return cut(
        f"operation {one.id}  {one.verb:<9}  {one.progress:<9}  {far}  {printable(f'{one.person}: {one.reason}')}"
    )
