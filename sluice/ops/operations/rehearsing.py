"""``--diff``: ask a processor what a retry or a replay would change, and wait for its answer."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

import click

from sluice.operations import rehearsals
from sluice.operations.filters import Filter
from sluice.operations.handlers import HandlerRun, handler_run, known_handlers
from sluice.operations.rehearsals import LIMIT, Rehearsal, Stage
from sluice.operations.verbs import Verb
from sluice.ops.connection import Connection

_SOON_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 90.0


async def rehearse(
    connection: Connection, verb: Verb, chosen: Filter, person: str, *, run: HandlerRun | None, limit: int | None
) -> Rehearsal:
    """
    Ask, and wait for the answer.

    Raises:
        click.ClickException: there is none.
    """
    number = await rehearsals.ask(connection, verb, chosen, person, run=run, limit=limit or LIMIT)
    answer = await rehearsals.answer(connection, number, within_seconds=_SOON_SECONDS)
    if answer is not None and answer.done_at is None:
        click.echo("A processor is asked; it answers soon.", err=True)
        answer = await rehearsals.answer(connection, number, within_seconds=_ANSWER_SECONDS)
    if answer is None or answer.stage is Stage.WAITING:
        raise click.ClickException(
            "No processor has taken it up. Is one of this release running? `sluice status` shows."
        )
    if answer.stage is Stage.RUNNING:
        raise click.ClickException("A processor is at it still, and may have died of it. Ask for fewer: --limit.")
    if answer.diff is None:
        raise click.ClickException(f"There is no answer: {answer.problem}")
    return answer


async def run_of(connection: Connection, name: str | None, *, again: bool) -> HandlerRun | None:
    """
    Prepare a run of one handler; None where none is named.

    Raises:
        click.ClickException: no processor has it; with what is meant, maybe.
    """
    if name is None:
        return None
    run = await handler_run(connection, name, again=again)
    if run is None:
        raise click.ClickException(_unknown(name, [handler.name for handler in await known_handlers(connection)]))
    return run


def _unknown(name: str, known: Sequence[str]) -> str:
    if not known:
        return f"No processor has said yet which handlers it has, so none has {name}. Is one of this release running?"
    meant = get_close_matches(name, known, n=3, cutoff=0.4) or known
    return f"No processor has a handler {name}. Those that there are: {', '.join(meant)}."
