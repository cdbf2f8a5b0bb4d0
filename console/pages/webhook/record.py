"""Read all that is on record about one webhook, but its body."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.operations.filters import STATE
from sluice.operations.webhooks import QUERIES as OPERATIONS_QUERIES
from sluice.operations.webhooks import ErrorSeen, Treated
from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "record.sql")
_READ = f"""
SELECT
    stripe_event_id::text AS key, webhook_type::text AS kind, {STATE} AS state, stripe_account_id::text AS account,
    livemode, api_version::text AS api_version, object_id::text AS object_id, tenant::text AS organiser,
    verified_by::text AS verified_by, processing_attempts AS attempts, last_error::text AS last_error,
    outcome::text AS outcome, publications, revivals,
    coalesce(octet_length(body), (SELECT w.body_bytes FROM body_storage WHERE w.body_id >= kept_from)) AS body_bytes,
    stripe_created_at::timestamptz AS stripe_created_at, created_at::timestamptz AS created_at,
    nullif(next_attempt_at, 'infinity')::timestamptz AS next_attempt_at, published_at::timestamptz AS published_at,
    parked_at::timestamptz AS parked_at, postponed_at::timestamptz AS postponed_at,
    revived_at::timestamptz AS revived_at, processed_at::timestamptz AS processed_at, dead_at::timestamptz AS dead_at
FROM webhook_logs AS w
WHERE stripe_event_id = $1
"""  # noqa: S608 - the text is our own
_AT_MOST = 200


@dataclass(frozen=True, slots=True)
class Webhook:
    """The row of ``webhook_logs`` without its body."""

    key: str
    kind: str
    state: str
    account: str | None
    livemode: bool | None
    api_version: str | None
    object_id: str | None
    organiser: str | None
    verified_by: str | None
    attempts: int
    last_error: str | None
    outcome: str | None
    publications: int
    revivals: int
    body_bytes: int | None
    stripe_created_at: datetime | None
    created_at: datetime
    next_attempt_at: datetime | None
    published_at: datetime | None
    parked_at: datetime | None
    postponed_at: datetime | None
    revived_at: datetime | None
    processed_at: datetime | None
    dead_at: datetime | None

    @property
    def effect_seconds(self) -> float | None:
        """Time from its receipt to its effect."""
        if self.processed_at is None or self.state != "processed":
            return None
        return max(0.0, (self.processed_at - self.created_at).total_seconds())


@dataclass(frozen=True, slots=True)
class Repeat:
    """A delivery after the first."""

    received_at: datetime
    verified_by: str | None
    body_differs: bool | None


@dataclass(frozen=True, slots=True)
class Fact:
    """One row that it wrote into the ledger of payments."""

    payment_id: str
    scope: str
    kind: str
    object_id: str | None
    status: str | None
    amount: int | None
    currency: str | None
    said_at: datetime


@dataclass(frozen=True, slots=True)
class View:
    """A person who viewed the body."""

    person: str
    login: str
    viewed_at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """All of it."""

    webhook: Webhook
    found_by: str | None
    """The part that found it at Stripe; None: Stripe delivered it."""
    repeats: Sequence[Repeat]
    facts: Sequence[Fact]
    errors: Sequence[ErrorSeen]
    operations: Sequence[Treated]
    views: Sequence[View]


async def read_record(connection: Connection, key: str) -> Record | None:
    """Read it; None: there is no such webhook."""
    rows = await connection.fetch(_READ, key)
    if not rows:
        return None
    return Record(
        webhook=Webhook(**rows[0]),
        found_by=await connection.fetchval(QUERIES["found_by"], key),
        repeats=[Repeat(**row) for row in await connection.fetch(QUERIES["repeats_of"], key, _AT_MOST)],
        facts=[Fact(**row) for row in await connection.fetch(QUERIES["facts_of"], key, _AT_MOST)],
        errors=[ErrorSeen(**row) for row in await connection.fetch(OPERATIONS_QUERIES["errors_of"], key)],
        operations=[Treated(**row) for row in await connection.fetch(OPERATIONS_QUERIES["operations_of"], key)],
        views=[View(**row) for row in await connection.fetch(QUERIES["views_of"], key, _AT_MOST)],
    )
