"""Webhooks as an operator looks at them: a list by a filter, and one with its errors and operations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.inbox.operations import AnyConnection
from sluice.inbox.pauses import HandlersOf, Traits
from sluice.inbox.states import OPEN, State
from sluice.operations.filters import PARAMETERS, STATE, Filter, chosen_errors, chosen_webhooks
from sluice.operations.pauses import Wait, coming_wait, wait_of
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "webhooks.sql")
_LIST = f"""
SELECT item_id, kind, state, created_at, attempts, outcome, object_id, error
FROM ({{choice}}) AS choice ORDER BY created_at DESC, length(id) DESC, id DESC LIMIT ${PARAMETERS + 1}
"""  # noqa: S608 - the text is our own
_READ = f"""
SELECT stripe_event_id::text AS item_id, webhook_type::text AS kind, {STATE} AS state,
       created_at::timestamptz AS created_at, processing_attempts AS attempts, outcome::text AS outcome,
       object_id::text AS object_id, last_error::text AS error, stripe_account_id::text AS account,
       tenant::text AS organiser, livemode, verified_by::text AS verified_by,
       publications, nullif(next_attempt_at, 'infinity')::timestamptz AS next_attempt_at,
       processed_at::timestamptz AS processed_at, dead_at::timestamptz AS dead_at,
       coalesce(octet_length(body), (SELECT w.body_bytes FROM body_storage WHERE w.body_id >= kept_from)) AS body_bytes
FROM webhook_logs AS w WHERE stripe_event_id = $1
"""  # noqa: S608 - the text is our own


@dataclass(frozen=True, slots=True)
class Listed:
    """One webhook, or error, of a list."""

    item_id: str
    kind: str | None
    state: str
    created_at: datetime
    attempts: int | None
    outcome: str | None
    object_id: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Webhook(Listed):
    """One webhook, with all of its row but the body."""

    account: str | None
    organiser: str | None
    livemode: bool | None
    verified_by: str | None
    publications: int
    next_attempt_at: datetime | None
    processed_at: datetime | None
    dead_at: datetime | None
    body_bytes: int | None


@dataclass(frozen=True, slots=True)
class ErrorSeen:
    """One row of ``error_logs``."""

    id: str
    severity: str
    message: str
    resolved: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ErrorTold(ErrorSeen):
    """One row of ``error_logs``, with all that it holds."""

    kind: str
    service: str | None
    stripe_event_id: str | None
    resolved_at: datetime | None
    request_data: str | None
    """As JSON."""
    stack_trace: str | None


@dataclass(frozen=True, slots=True)
class Treated:
    """One operation that a webhook was an item of."""

    operation_id: int
    verb: str
    person: str
    reason: str
    started_at: datetime
    done_at: datetime | None
    result: str | None


@dataclass(frozen=True, slots=True)
class WebhookStory:
    """One webhook with what is on record beside it."""

    webhook: Webhook
    repeats: int
    """Deliveries after the first."""
    errors: Sequence[ErrorSeen]
    operations: Sequence[Treated]
    wait: Wait | None = None
    """The pause that it waits for, or will when it is its turn."""


def no_handlers(webhook: Traits) -> Sequence[str]:
    """Know of none, so that of what a handler's pause covers only that is told which waits already."""
    del webhook
    return ()


async def newest_webhooks(session: AnyConnection, chosen: Filter, *, at_most: int) -> Sequence[Listed]:
    """Read the newest webhooks of a filter, the newest first."""
    choice = chosen_webhooks(chosen.states or list(State))
    return [Listed(**row) for row in await session.fetch(_LIST.format(choice=choice), *chosen.parameters, at_most)]


async def count_webhooks(session: AnyConnection, chosen: Filter) -> int:
    """Count the webhooks of a filter."""
    choice = chosen_webhooks(chosen.states or list(State))
    count: int = await session.fetchval(f"SELECT count(*) FROM ({choice}) AS choice", *chosen.parameters)  # noqa: S608
    return count


async def newest_errors(session: AnyConnection, chosen: Filter, *, at_most: int) -> Sequence[Listed]:
    """Read the newest unresolved errors of a filter, the newest first; ``outcome`` is an error's severity."""
    choice = chosen_errors(chosen.states)
    return [Listed(**row) for row in await session.fetch(_LIST.format(choice=choice), *chosen.parameters, at_most)]


async def read_error(session: AnyConnection, error_id: str) -> ErrorTold | None:
    """Read one row of ``error_logs``; None: there is none of this id."""
    rows = await session.fetch(QUERIES["error"], error_id)
    return ErrorTold(**rows[0]) if rows else None


async def read_webhook(
    session: AnyConnection, stripe_event_id: str, handlers_of: HandlersOf = no_handlers
) -> WebhookStory | None:
    """
    Read one webhook; None: there is none of this key.

    Args:
        handlers_of: names the handlers that a webhook goes to.
    """
    rows = await session.fetch(_READ, stripe_event_id)
    if not rows:
        return None
    webhook = Webhook(**rows[0])
    errors = await session.fetch(QUERIES["errors_of"], stripe_event_id)
    treated = await session.fetch(QUERIES["operations_of"], stripe_event_id)
    return WebhookStory(
        webhook=webhook,
        repeats=await session.fetchval(QUERIES["count_repeats"], stripe_event_id),
        errors=[ErrorSeen(**row) for row in errors],
        operations=[Treated(**row) for row in treated],
        wait=await _wait_of(session, webhook, handlers_of),
    )


async def _wait_of(session: AnyConnection, webhook: Webhook, handlers_of: HandlersOf) -> Wait | None:
    if State[webhook.state.upper()] not in (*OPEN, State.PAUSED):
        return None
    traits = Traits(webhook.kind or "", webhook.account, webhook.organiser)
    return await wait_of(session, webhook.item_id) or await coming_wait(session, traits, handlers_of)
