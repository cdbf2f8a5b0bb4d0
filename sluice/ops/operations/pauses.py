"""``sluice pause`` and ``sluice resume``: let webhooks wait, and let them go again."""

import asyncio
import difflib
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import click

from sluice.contract.thin import plain_type
from sluice.inbox.operations import Decision
from sluice.inbox.pauses import Kind, Traits, matches
from sluice.operations import pauses
from sluice.operations.book import Counted
from sluice.operations.handlers import known_handlers
from sluice.operations.pauses import MOST_COUNTED, AlreadyPaused, NotPaused, OpenPause, Taken, Target, Wait
from sluice.ops.connection import Connection, connected
from sluice.ops.durations import as_words
from sluice.ops.environment import detect_environment
from sluice.ops.events import installed_handlers
from sluice.ops.operations.options import decision_of
from sluice.ops.terminal import printable_value
from sluice.registry import Registry, name_of
from sluice.runtime.printable import printable, printable_lines

_ANY_ORGANISER: Final = "organiser"
_SHOWN: Final = 12
_TARGET = (
    click.option("--all", "is_all", is_flag=True, help="Everything."),
    click.option("--type", "event_type", metavar="GLOB", help="Event types, such as 'charge.*'; thin twins too."),
    click.option("--account", metavar="ACCT", help="Connected account."),
    click.option("--handler", metavar="NAME", help="Whatever this handler takes, such as 'shop.points.add_points'."),
)
_MANNER = (
    click.option("--dry-run", is_flag=True, help="Count the webhooks that it would be about; change nothing."),
    click.option("--reason", help="Why; kept with your name. Needed but for --dry-run."),
    click.option("--by", "person", envvar="SLUICE_BY", help="Who you are; default: the user of this machine."),
)


def _with(*options: Callable[[Callable[..., None]], Callable[..., None]]) -> Callable[..., Any]:
    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command(name="pause")
@_with(*_TARGET, *_MANNER)
def pause(*, dry_run: bool, reason: str | None, person: str | None, **options: Any) -> None:
    """
    Let webhooks wait: they are taken in, acknowledged and recorded, and not tried.

    Without an option it shows what is paused; times are UTC. Processors heed a pause within seconds; what they have
    in hand ends as ever. No attempt is counted meanwhile, and nothing dies or is parked. A webhook waits whole: with a
    handler paused, the ledger's effect of what it takes waits too, for one webhook is one transaction. `sluice resume`
    ends it.
    Exit code 1 when the same is paused already.
    """
    target = _target_of(**options)
    url = detect_environment().database_url()
    if target is None:
        asyncio.run(_show_open(url))
        return
    if dry_run:
        _show_counted(asyncio.run(_count(url, target)), f"{target}: a pause would be about")
        return
    asyncio.run(_begin(url, target, decision_of(person, reason or "")))


@click.command(name="resume")
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=click.IntRange(1))
@_with(*_TARGET, *_MANNER)
def resume(*, numbers: Sequence[int], dry_run: bool, reason: str | None, person: str | None, **options: Any) -> None:
    """
    End a pause: what waits for it becomes due, in the order in which it came, at a bounded pace.

    NUMBER is that of a pause; or say what was paused, as you said it then: --all ends the pause of everything, and
    another one, of a type say, stays in force. Exit code 1 when there is no such pause.
    """
    target = _target_of(**options)
    if (target is None) is (not numbers):
        raise click.UsageError("Say which pause: its number, or what it pauses. `sluice pause` shows them.")
    url = detect_environment().database_url()
    if dry_run:
        asyncio.run(_show_what_would_go(url, target, numbers))
        return
    asyncio.run(_end(url, target, numbers, decision_of(person, reason or "")))


def _target_of(*, is_all: bool, event_type: str | None, account: str | None, handler: str | None) -> Target | None:
    given = [
        *([Target(Kind.ALL)] if is_all else []),
        *(
            Target(kind, value.strip())
            for kind, value in ((Kind.TYPE, event_type), (Kind.ACCOUNT, account), (Kind.HANDLER, handler))
            if value is not None
        ),
    ]
    if len(given) > 1:
        raise click.UsageError("One at a time: --all, --type, --account or --handler. Several pauses may be in force.")
    if given and given[0].value is not None and (not given[0].value or "\0" in given[0].value):
        raise click.UsageError("An empty text, or one with a NUL, covers nothing.")
    return given[0] if given else None


async def _taken_by(connection: Connection, target: Target) -> Taken:
    """
    Read which types a handler takes: as a processor has noted it, or as it is installed here.

    Raises:
        click.UsageError: no processor and no package here has a handler of this name.
    """
    if target.kind is Kind.TYPE:
        _warn_of_unknown(target.value or "")
    if target.kind is not Kind.HANDLER or target.value is None:
        return Taken()
    noted = {handler.name: handler for handler in await known_handlers(connection)}
    if target.value in noted:
        return Taken(noted[target.value].types, noted[target.value].organiser_types)
    here = installed_handlers()
    taken = Taken(_types_of(here, target.value, None), _types_of(here, target.value, _ANY_ORGANISER))
    if not taken.from_platform and not taken.from_organisers:
        _refuse(target.value, {name_of(one) for kind in here.types for one in here.handlers_for(kind)}.union(noted))
    return taken


def _refuse(name: str, known: Collection[str]) -> NoReturn:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)
    raise click.UsageError(f"No handler {name} is known. Known: {', '.join(near)}. Or pause the types that it takes.")


def _types_of(known: Registry, handler: str, tenant: str | None) -> Sequence[str]:
    return sorted(
        event_type
        for event_type in known.types
        if handler in [name_of(one) for one in known.handlers_by(event_type, tenant)]
    )


def _warn_of_unknown(glob: str) -> None:
    if not any(
        matches(glob, event_type) or matches(glob, f"v1.{event_type}") for event_type in installed_handlers().types
    ):
        click.echo(
            printable_lines(f"No handler that is installed here takes {glob}; is it written as you mean?"), err=True
        )


async def _begin(url: str, target: Target, decision: Decision) -> None:
    async with connected(url) as connection:
        taken = await _taken_by(connection, target)
        try:
            pause_id = await pauses.begin(connection, target, decision)
        except AlreadyPaused as error:
            _tell([one for one in await pauses.read_open(connection) if one.target == target and not one.is_over])
            raise click.ClickException(str(error)) from error
        click.echo(printable_lines(f"Pause {pause_id} ({target}) is in force; processors heed it within seconds."))
        _show_counted(await pauses.count_covered(connection, target, taken), "Of what is here now it covers")


async def _end(url: str, target: Target | None, numbers: Sequence[int], decision: Decision) -> None:
    async with connected(url) as connection:
        known = await pauses.read_open(connection)
        chosen = _chosen(known, target, numbers)
        try:
            ended = await pauses.end(connection, [one.id for one in chosen], decision)
        except NotPaused as error:
            _tell([one for one in known if not one.is_over])
            raise click.ClickException(str(error)) from error
        for one in chosen:
            if one.id in ended:
                since = as_words((datetime.now(UTC) - one.began_at).total_seconds())
                told = f"Pause {one.id} ({one.target}) is over after {since}; {_counted(one.waiting)} waited for it."
                click.echo(printable_lines(told))
        _tell([one for one in await pauses.read_open(connection) if not one.is_over], "Still in force:")


async def _show_open(url: str) -> None:
    async with connected(url) as connection:
        found = await pauses.read_open(connection)
    _tell(found)
    if not found:
        click.echo("Nothing is paused.")


async def _show_what_would_go(url: str, target: Target | None, numbers: Sequence[int]) -> None:
    async with connected(url) as connection:
        chosen = _chosen(await pauses.read_open(connection), target, numbers)
    if not chosen:
        raise click.ClickException("No such pause is in force.")
    _tell(chosen)


async def _count(url: str, target: Target) -> Sequence[Counted]:
    async with connected(url) as connection:
        return await pauses.count_covered(connection, target, await _taken_by(connection, target))


def _chosen(known: Sequence[OpenPause], target: Target | None, numbers: Collection[int]) -> Sequence[OpenPause]:
    return [one for one in known if not one.is_over and (one.id in numbers or one.target == target)]


def _tell(found: Sequence[OpenPause], heading: str = "") -> None:
    if found and heading:
        click.echo(heading)
    for one in found:
        click.echo(line(printable_value(one)))


def line(one: OpenPause) -> str:
    """One pause: its number, what it covers, since when, who and why."""
    over = f", over since {one.ended_at:%m-%d %H:%M} by {one.ended_by}" if one.ended_at else ""
    return (
        f"{one.id:>5}  {one.target}  since {one.began_at:%Y-%m-%d %H:%M}{over}\n"
        f"       {_counted(one.waiting)} waiting; {one.person}: {one.reason}"
    )


def _counted(number: int) -> str:
    return f"{number:,}" if number < MOST_COUNTED else f"{number:,} or more"


def _show_counted(counted: Sequence[Counted], heading: str) -> None:
    click.echo(printable_lines(f"{heading} {sum(part.count for part in counted):,} webhooks."))
    for part in counted[:_SHOWN]:
        click.echo(printable(f"{part.count:>9,}  {part.state:<12} {part.kind or ''}".rstrip()))


def handlers_of(webhook: Traits) -> Collection[str]:
    """Names the installed handlers that a webhook goes to."""
    return [name_of(one) for one in installed_handlers().handlers_by(plain_type(webhook.event_type), webhook.tenant)]


def wait_in_words(wait: Wait) -> str:
    """Since when a webhook waits, for which pause, and who decided on that."""
    one = wait.pause
    since = f"since {wait.since:%Y-%m-%d %H:%M:%S}" if wait.since else "as soon as it is its turn"
    over = " (it is over, and lets webhooks go)" if one.is_over else ""
    return f"{since}, by pause {one.id} ({one.target}){over} of {one.person}: {one.reason}"
