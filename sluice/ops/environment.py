"""Which Sluice is meant: what the environment says, else the stack that ``make run`` started here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
from dotenv import dotenv_values

STACK_FILE = Path(".local", "stack.env")
DATABASE_URL = "DATABASE_URL"
HEALTH_TARGETS = "HEALTH_TARGETS"
ADMIN_URLS = ("INGEST_ADMIN_URL", "PROCESSOR_ADMIN_URL", "HEALTHD_ADMIN_URL")
OPTIONAL_ADMIN_URLS = ("RECONCILER_ADMIN_URL",)
"""Of services that need not be there."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Settings of one Sluice; never a mixture of two."""

    values: Mapping[str, str] = field(repr=False)
    stack_folder: Path | None = None
    """``.local`` of the stack that is meant; None: the environment says it all."""

    def get(self, name: str) -> str | None:
        """
        A setting, from ``NAME`` or from the file that ``NAME_FILE`` names.

        Raises:
            click.UsageError: the file cannot be read.
        """
        if value := self.values.get(name):
            return value
        if path := self.values.get(f"{name}_FILE"):
            return _content(name, path)
        return None

    def database_url(self) -> str:
        """
        Where the database is.

        Raises:
            click.UsageError: no setting says it; with the fix.
        """
        url = self.get(DATABASE_URL)
        if url is None:
            raise click.UsageError(
                "No database is known. Set DATABASE_URL=postgresql://user:password@host:5432/database "
                "(or DATABASE_URL_FILE), or start a stack here with `make run`."
            )
        return url


def detect_environment(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Environment:
    """The environment's Sluice where it names a database, else the local stack's, which is said on stderr."""
    environment = os.environ if environment is None else environment
    if environment.get(DATABASE_URL) or environment.get(f"{DATABASE_URL}_FILE"):
        return Environment(environment)
    stack = local_stack(folder=folder)
    if stack is None:
        return Environment(environment)
    click.echo("DATABASE_URL is not set: this is about the stack that `make run` started here.", err=True)
    return stack


def local_stack(*, folder: Path | None = None) -> Environment | None:
    """Find what ``make run`` left in this folder or one above, whatever the environment says."""
    here = (folder or Path.cwd()).resolve()
    for candidate in (here, *here.parents):
        path = candidate / STACK_FILE
        if path.is_file():
            values = {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}
            return Environment(values, path.parent)
    return None


def _content(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{name}_FILE names {path}, which cannot be read: {error}") from error
