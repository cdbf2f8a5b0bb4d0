"""``sluice retry``, ``sluice replay`` and ``sluice write-off``: an operator's transitions of webhooks."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import click

from sluice.inbox import operations
from sluice.inbox.operations import AnyConnection, Decision
from sluice.inbox.states import State
from sluice.ops.connection import connected
from sluice.ops.environment import detect_environment
from sluice.runtime.printable import printable_lines

Operation: TypeAlias = Callable[[AnyConnection, Collection[str], Decision], Awaitable[Collection[str]]]

_IDS = click.argument("event_ids", metavar="EVENT...", nargs=-1, required=True)
_REASON = click.option("--reason", required=True, help="Kept with your name in error_logs; `sluice why` shows it.")


@dataclass(frozen=True)
class Result:
    """Outcome of an operation on the webhooks that an operator named."""

    changed: Collection[str]
    states: Mapping[str, State]
    """States since then, by id."""


@click.command(name="retry")
@_IDS
@_REASON
def retry(*, event_ids: Sequence[str], reason: str) -> None:
    """
    Try webhooks now that wait for their next attempt.

    EVENT is a webhook's stripe_event_id. It must be queued, failed, parked or postponed; its attempts count on. Exit
    code 1 when one was left as it is.
    """
    _run(operations.retry, event_ids, reason, "due now")


@click.command(name="replay")
@_IDS
@_REASON
def replay(*, event_ids: Sequence[str], reason: str) -> None:
    """
    Try dead webhooks again, as if never tried.

    EVENT is the stripe_event_id of a dead webhook. Exit code 1 when one was left as it is.
    """
    _run(operations.replay, event_ids, reason, "due now, with all attempts")


@click.command(name="write-off")
@_IDS
@_REASON
def write_off(*, event_ids: Sequence[str], reason: str) -> None:
    """
    Let dead webhooks rest without an effect.

    EVENT is the stripe_event_id of a dead webhook. Its row and its last error stay; health no longer counts it as
    dead. Exit code 1 when one was left as it is.
    """
    _run(operations.write_off, event_ids, reason, "written off")


def _run(operation: Operation, event_ids: Sequence[str], reason: str, done: str) -> None:
    if not reason.strip() or any("\0" in text for text in (reason, *event_ids)):
        raise click.UsageError("Say why: --reason must be a text.")
    decision = Decision(_user(), reason.strip())
    result = asyncio.run(_operate(detect_environment().database_url(), operation, event_ids, decision))
    for event_id in event_ids:
        click.echo(printable_lines(f"{event_id}: {_told(event_id, result, done)}"))
    if not set(event_ids).issubset(result.changed):
        raise click.exceptions.Exit(1)


async def _operate(url: str, operation: Operation, event_ids: Sequence[str], decision: Decision) -> Result:
    async with connected(url) as connection:
        changed = await operation(connection, event_ids, decision)
        return Result(changed, await operations.read_states(connection, event_ids))


def _told(event_id: str, result: Result, done: str) -> str:
    if event_id in result.changed:
        return done
    state = result.states.get(event_id)
    return "left as it is: no such webhook" if state is None else f"left as it is: {state}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "an operator"
