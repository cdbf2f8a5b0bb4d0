"""Where webhooks are sent by hand, and which secret signs them."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import click

from sluice.ops.environment import DATABASE_URL, Environment, local_stack

GATEWAY_URL = "GATEWAY_URL"
WEBHOOK_SECRET = "STRIPE_WEBHOOK_SECRET"  # noqa: S105  a name


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway, its secret, and perhaps the database behind it."""

    gateway_url: str
    secret: str = field(repr=False)
    database_url: str | None = field(repr=False)
    """None: nothing is written into a database, and nothing looked up."""
    stack_folder: Path | None


def find_target(to: str | None, secret_file: Path | None, *, use_database: bool) -> Target:
    """
    The local stack as a whole, or what the options say; never the one's gateway with the other's database.

    Raises:
        click.UsageError: something is missing; with the fix.
    """
    if to is None and secret_file is None:
        return _local()
    if to is None:
        raise click.UsageError("--secret-file goes with --to URL.")
    environment = Environment(os.environ)
    secret = _read(secret_file) if secret_file else environment.get(WEBHOOK_SECRET)
    if not secret:
        raise click.UsageError("--to needs the endpoint's secret: --secret-file FILE, or STRIPE_WEBHOOK_SECRET.")
    return Target(to, secret, environment.database_url() if use_database else None, None)


def _local() -> Target:
    stack = local_stack()
    if stack is None:
        raise click.UsageError("No stack runs here. Start one with `make run`, or say --to URL --secret-file FILE.")
    gateway_url, secret = stack.get(GATEWAY_URL), stack.get(WEBHOOK_SECRET)
    if gateway_url is None or secret is None:
        raise click.UsageError(f"{stack.stack_folder}/stack.env is incomplete. Start the stack again with `make run`.")
    return Target(gateway_url, secret, stack.get(DATABASE_URL), stack.stack_folder)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--secret-file {path} cannot be read: {error}") from error
