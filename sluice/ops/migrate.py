"""``sluice migrate``."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TypeVar

import click

from sluice.failures import Failure, Unavailable
from sluice.ops.connection import NOT_AN_ADDRESS, place_of
from sluice.ops.environment import detect_environment
from sluice.postgres.errors import cause_of
from sluice.postgres.migrator import Conflict, ConflictsFound, migrate, pending, preflight
from sluice.postgres.sqlstate import Cause
from sluice.runtime.printable import printable_lines

T = TypeVar("T")
EXIT_LATER = 75  # EX_TEMPFAIL of sysexits.h: the caller may try again
_SETTLED = frozenset({Cause.LOGIN_REFUSED, Cause.DATABASE_UNKNOWN})  # no waiting makes them right
EXAMPLES = """\b
Examples:
  sluice migrate --check
  sluice migrate
  DATABASE_URL_FILE=/run/secrets/url sluice migrate"""


class _Later(click.ClickException):
    exit_code = EXIT_LATER


@click.command(name="migrate", epilog=EXAMPLES)
@click.option("--check", "--preflight", "check", is_flag=True, help="Change nothing; list what a migration would meet.")
def command(*, check: bool) -> None:
    """
    Bring the database to this version's schema.

    Applies every migration that is not applied yet, those of installed packages too; many at once are safe, and a
    second run changes nothing. It needs PostgreSQL itself or a pooler in session mode. With --check it only reads:
    what would be applied, and each conflict with the tables that are there, with the statement that cures it; exit
    code 1 when there is one. Exit code 75: PostgreSQL does not answer, or another migration runs; try again.
    """
    url = detect_environment().database_url()
    if check:
        _check(url)
        return
    try:
        applied = _run(url, migrate(url))
    except ConflictsFound as found:
        _tell_conflicts(found.conflicts)
        raise click.exceptions.Exit(1) from found
    for one in applied:
        click.echo(f"Applied {one.name} in {one.seconds:.2f} s.")
    click.echo("The schema is up to date." if applied else "Nothing to do: the schema is up to date.")


def _check(url: str) -> None:
    waiting = _run(url, pending(url))
    for name in waiting:
        click.echo(f"To be applied: {name}")
    conflicts = _run(url, preflight(url))
    if conflicts:
        _tell_conflicts(conflicts)
        raise click.exceptions.Exit(1)
    click.echo("No conflict: `sluice migrate` can run." if waiting else "No conflict, and nothing to apply.")


def _tell_conflicts(conflicts: Sequence[Conflict]) -> None:
    click.echo("In the way of Sluice's tables; nothing was changed. Cure each one, then migrate:", err=True)
    for number, conflict in enumerate(conflicts, 1):
        click.echo(printable_lines(f"{number}. {conflict.problem}\n   {conflict.cure}"))


def _run(url: str, work: Coroutine[object, object, T]) -> T:
    """The result of the work, or its failure for a person; conflicts are the caller's to tell."""
    try:
        return asyncio.run(work)
    except ConflictsFound:
        raise
    except Failure as failure:
        told = _Later if _may_pass(failure) else click.ClickException
        raise told(f"{place_of(url)}: {failure}") from failure
    except ValueError as error:
        raise click.UsageError(NOT_AN_ADDRESS) from error


def _may_pass(failure: Failure) -> bool:
    """The same command may succeed later, without a change on our side."""
    cause = failure.__cause__
    settled = cause is not None and cause_of(cause) in _SETTLED
    return isinstance(failure, Unavailable) and not settled
