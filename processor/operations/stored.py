"""Stored webhooks as events, with what decides on their next run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from processor.outcome import Attempt
from sluice.contract.event import StripeEvent
from sluice.inbox.states import state_expression
from sluice.postgres.pool import Connection, Record

_READ = f"""
SELECT w.stripe_event_id::text AS stripe_event_id, w.webhook_type::text AS webhook_type,
       coalesce(extract(epoch FROM w.stripe_created_at), 0)::bigint AS created, coalesce(w.livemode, false) AS livemode,
       w.stripe_account_id::text AS stripe_account_id, w.api_version::text AS api_version,
       w.object_id::text AS object_id, w.tenant::text AS tenant, w.processing_attempts, w.solo_starts > 0 AS is_suspect,
       w.parked_at IS NOT NULL AS was_parked,
       coalesce(w.parked_at <= now() - $2::float8 * interval '1 second', false) AS is_last_look,
       w.outcome::text AS outcome, w.last_error::text AS last_error, {state_expression()} AS state
FROM unnest($1::text[]) WITH ORDINALITY AS asked (stripe_event_id, position)
JOIN webhook_logs AS w ON w.stripe_event_id = asked.stripe_event_id
ORDER BY asked.position
"""  # noqa: S608 - the text is our own
_READ_BODIES = """
WITH log AS MATERIALIZED (
    SELECT w.stripe_event_id::text AS stripe_event_id, w.body, w.body_id
    FROM webhook_logs AS w
    WHERE w.stripe_event_id = ANY ($1::text[])
)
SELECT log.stripe_event_id, coalesce(log.body, stored.body) AS body
FROM log
LEFT JOIN sluice_bodies(ARRAY(SELECT body_id FROM log WHERE body_id IS NOT NULL)) AS stored ON stored.id = log.body_id
WHERE coalesce(log.body, stored.body) IS NOT NULL
"""


@dataclass(frozen=True, eq=False)
class Stored(Attempt):
    """One webhook as its row has it, but for the body: that is read when it runs."""

    state: str
    outcome: str | None
    problem: str | None
    is_suspect: bool
    """A run of it alone began and never ended."""
    was_parked: bool
    is_last_look: bool


async def read_stored(
    connection: Connection, stripe_event_ids: Sequence[str], *, patience_seconds: float = 0
) -> Sequence[Stored]:
    """Read these webhooks, in this order; one that does not exist is left out."""
    return [_stored(row) for row in await connection.fetch(_READ, stripe_event_ids, patience_seconds)]


async def read_bodies(connection: Connection, stripe_event_ids: Collection[str]) -> Mapping[str, bytes]:
    """Read the bodies of these webhooks, by id; one that has none is left out."""
    return {row["stripe_event_id"]: row["body"] for row in await connection.fetch(_READ_BODIES, list(stripe_event_ids))}


def _stored(row: Record) -> Stored:
    event = StripeEvent(
        stripe_event_id=row["stripe_event_id"],
        type=row["webhook_type"],
        created=row["created"],
        livemode=row["livemode"],
        account=row["stripe_account_id"],
        api_version=row["api_version"],
        object_id=row["object_id"],
        tenant=row["tenant"],
        body=b"",
    )
    return Stored(
        event=event,
        attempt=row["processing_attempts"],
        state=row["state"],
        outcome=row["outcome"],
        problem=row["last_error"],
        is_suspect=row["is_suspect"],
        was_parked=row["was_parked"],
        is_last_look=row["is_last_look"],
    )
