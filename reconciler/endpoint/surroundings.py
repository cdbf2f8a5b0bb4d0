"""Read from the environment which Sluice is meant: its URL, its mode, its keys, its secrets."""

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import click

from reconciler.budget import Budget
from reconciler.endpoint.audit import Needed
from reconciler.endpoint.proofs import Proofs, read_proofs
from reconciler.endpoint.public_url import PUBLIC_URL, endpoint_url
from reconciler.settings import KEY_NAME, keys_by_mode, mode_of
from reconciler.stripe_api import DEFAULT_BASE, StripeApi, http_client
from sluice.ops.connection import connected
from sluice.ops.environment import DATABASE_URL, Environment, detect_environment
from sluice.ops.events import handled_types, is_preview
from sluice.webhook_secret import fingerprint

_BASE, _SECRET, _ADMIN = "STRIPE_API_BASE", "STRIPE_WEBHOOK_SECRET", "INGEST_ADMIN_URL"
_REQUEST_SECONDS = 20.0
_ADMIN_SECONDS = 2.0
_PER_SECOND = 10.0


def surroundings() -> Environment:
    """The environment where it names a key, a URL or a database; else the stack that ``make run`` started here."""
    if any(os.environ.get(name) or os.environ.get(f"{name}_FILE") for name in (KEY_NAME, PUBLIC_URL)):
        return Environment(os.environ)
    return detect_environment()


def needed_by(environment: Environment) -> Needed:
    """
    Read what an endpoint must be like.

    Raises:
        click.UsageError: no setting says where Stripe reaches us.
    """
    public_url = environment.get(PUBLIC_URL)
    if public_url is None:
        raise click.UsageError(
            f"{PUBLIC_URL} is not set. Set it to the address at which Stripe reaches ingest, such as https://your.host."
        )
    try:
        url = endpoint_url(public_url)
    except ValueError as error:
        raise click.UsageError(f"{PUBLIC_URL} is no address for Stripe: {error}.") from error
    app_env = environment.get("APP_ENV") or environment.get("NODE_ENV") or ""
    handled = handled_types()
    previews = frozenset(name for name in handled if is_preview(name))
    return Needed(
        url, livemode=app_env.strip().lower() == "production", types=frozenset(handled) - previews, previews=previews
    )


def keys_of(environment: Environment, *, livemode: bool) -> Mapping[bool, str]:
    """
    The key of each mode; the mode that is needed is there.

    Raises:
        click.UsageError: there is no key, or none of that mode, or it is no key.
    """
    keys = [key for raw in (environment.get(KEY_NAME) or "").split(",") if (key := raw.strip())]
    mode = "live" if livemode else "test"
    if not keys:
        raise click.UsageError(
            f"{KEY_NAME} is not set. Set it, or {KEY_NAME}_FILE, to a restricted key of {mode} mode that may read "
            "webhook endpoints."
        )
    if any(mode_of(key) is None for key in keys):
        raise click.UsageError(
            f"{KEY_NAME} is no key of Stripe's: one begins with rk_live_, rk_test_, sk_live_ or sk_test_."
        )
    by_mode = keys_by_mode(keys)
    if livemode not in by_mode:
        other = "test" if livemode else "live"
        env = "is production" if livemode else "is not production"
        raise click.UsageError(
            f"{KEY_NAME} holds a {other}-mode key alone, and APP_ENV {env}: give it a {mode}-mode key, or both with a "
            "comma, or set APP_ENV as this Sluice has it."
        )
    return by_mode


@asynccontextmanager
async def apis_for(environment: Environment, keys: Mapping[bool, str]) -> AsyncIterator[Mapping[bool, StripeApi]]:
    """Stripe's API in each mode that there is a key for."""
    base = (environment.get(_BASE) or DEFAULT_BASE).rstrip("/")
    async with http_client(request_seconds=_REQUEST_SECONDS) as http:
        yield {
            livemode: StripeApi(
                http,
                mode="live" if livemode else "test",
                key=partial(keys.get, livemode),
                base=base,
                budget=Budget(_PER_SECOND),
                request_seconds=_REQUEST_SECONDS,
            )
            for livemode in keys
        }


async def proofs_for(environment: Environment) -> tuple[Proofs, float] | None:
    """Read the proofs in the log, and how far PostgreSQL's clock is ahead of ours; None: no database is named."""
    if environment.get(DATABASE_URL) is None:
        return None
    configured = await _fingerprints(environment)
    async with connected(environment.database_url()) as connection:
        proofs, now = await read_proofs(connection, configured=configured)
        return proofs, now - time.time()


async def _fingerprints(environment: Environment) -> tuple[str, ...] | None:
    """The platform's secrets: as the environment has them, else as ingest says; None: neither does."""
    secrets = environment.get(_SECRET)
    if secrets is not None:
        return tuple(fingerprint("platform", one) for raw in secrets.split(",") if (one := raw.strip()))
    admin_url = environment.get(_ADMIN)
    return None if admin_url is None else await _told_by_ingest(admin_url)


async def _told_by_ingest(admin_url: str) -> tuple[str, ...] | None:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ADMIN_SECONDS)) as session,
            session.get(f"{admin_url.rstrip('/')}/status") as response,
        ):
            status = await response.json()
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    told = status.get("webhook_secrets") if isinstance(status, Mapping) else None
    listed = told.get("fingerprints") if isinstance(told, Mapping) else None
    return tuple(str(one) for one in listed) if isinstance(listed, list) else None
