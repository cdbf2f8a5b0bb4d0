"""Connect a command to what it asks: the database, the accounts that are meant, and Stripe in each mode."""

import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import click
from rich.progress import Progress, TaskID

from reconciler.accounts import Account, accounts_to_list
from reconciler.budget import Budget
from reconciler.by_hand import of_interest
from reconciler.failures import StripeUnavailable
from reconciler.settings import KEY_NAME, keys_by_mode
from reconciler.standing import Standings
from reconciler.stripe_api import DEFAULT_BASE, StripeApi, http_client
from sluice.failures import Rejected
from sluice.ops.connection import explained
from sluice.ops.environment import Environment
from sluice.postgres.pool import Database

_REQUEST_SECONDS = 20.0


@dataclass(frozen=True)
class Connections:
    """An open database, and Stripe in each mode that a key opens."""

    database: Database
    accounts: Collection[Account]
    apis: Mapping[bool, StripeApi]


def keys_of(environment: Environment) -> Mapping[bool, str]:
    """The key of each mode. Raises UsageError where there is none."""
    keys = keys_by_mode((environment.get(KEY_NAME) or "").split(","))
    if not keys:
        raise click.UsageError(f"No key is known. Set {KEY_NAME} (or {KEY_NAME}_FILE) to a restricted key of Stripe's.")
    return keys


@asynccontextmanager
async def connections(
    environment: Environment, keys: Mapping[bool, str], wanted: Sequence[str], rate: float, *, application_name: str
) -> AsyncIterator[Connections]:
    """
    Connect to both; what goes wrong with either is told to the person who asks.

    Args:
        wanted: accounts by name; none: all that are known.
        rate: requests a second in each mode.
    """
    url = environment.database_url()
    with explained(url), _told_of_stripe():
        async with (
            Database.connect(url, application_name=application_name, max_size=2, statement_cache=False) as database,
            http_client(request_seconds=_REQUEST_SECONDS) as http,
        ):
            known: Collection[str] = await Standings(database, "").known_accounts()
            besides = [name for name in wanted if name.startswith("acct_")]
            apis = {
                mode: StripeApi(
                    http,
                    mode="live" if mode else "test",
                    key=partial(_the, key),
                    base=environment.get("STRIPE_API_BASE") or DEFAULT_BASE,
                    budget=Budget(rate),
                    request_seconds=_REQUEST_SECONDS,
                )
                for mode, key in keys.items()
            }
            yield Connections(database, of_interest(accounts_to_list(keys, known, besides=besides), wanted), apis)


def advance(bar: Progress, task: TaskID, reached: int) -> None:
    """Let a bar show how far back in time a list was read."""
    bar.update(task, completed=int(time.time()) - reached)


@contextmanager
def _told_of_stripe() -> Iterator[None]:
    try:
        yield
    except StripeUnavailable as failure:
        raise click.ClickException(f"{failure} What was recorded stays; run it again later.") from failure
    except Rejected as failure:
        raise click.ClickException(f"{failure} What was recorded stays.") from failure


def _the(key: str) -> str:
    return key
