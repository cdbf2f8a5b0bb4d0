"""Claim rows for publication: those that are due, and those whose message is lost."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sluice.postgres.pool import Database
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "publications.sql")


class Clock(NamedTuple):
    """Moments of PostgreSQL's clock: what was published before and not tried is lost, or overdue."""

    passed_before: datetime | None
    overdue_before: datetime


class Claimed(NamedTuple):
    """A row that is published now, without its body."""

    stripe_event_id: str
    webhook_type: str
    stripe_account_id: str | None
    livemode: bool | None
    api_version: str | None
    object_id: str | None
    tenant: str | None
    processing_attempts: int
    publications: int
    created: int
    """Unix seconds."""
    body_bytes: int


async def read_clock(
    database: Database,
    *,
    passed_before: timedelta | None,
    floor: datetime | None,
    overdue: timedelta,
    within_seconds: float,
) -> Clock:
    """
    Read before which moments a publication is lost, and overdue.

    Args:
        passed_before: how long ago the consumer had passed everything; None if it has not.
        floor: when the message at the consumer's ack floor was stored, less a margin.
        overdue: how long ago a publication is overdue.
    """
    (row,) = await database.fetch(QUERIES["read_clock"], passed_before, floor, overdue, within_seconds=within_seconds)
    return Clock(*row)


async def claim_due(
    database: Database, rows_at_most: int, *, is_whole: bool, within_seconds: float
) -> Sequence[Claimed]:
    """
    Claim waiting rows whose time has come.

    Args:
        is_whole: read the index from its beginning, not from where healthd saw the first open row.
    """
    rows = await database.fetch(QUERIES["claim_due"], rows_at_most, is_whole, within_seconds=within_seconds)
    return [Claimed(*row) for row in rows]


async def claim_untried(
    database: Database, rows_at_most: int, published_before: datetime, *, is_whole: bool, within_seconds: float
) -> Sequence[Claimed]:
    """Claim rows that were published before a moment and not tried since."""
    rows = await database.fetch(
        QUERIES["claim_untried"], rows_at_most, is_whole, published_before, within_seconds=within_seconds
    )
    return [Claimed(*row) for row in rows]


async def claim_unpublished(
    database: Database, stripe_event_ids: Sequence[str], *, within_seconds: float
) -> Sequence[Claimed]:
    """Claim new rows whose first publication failed."""
    rows = await database.fetch(QUERIES["claim_unpublished"], stripe_event_ids, within_seconds=within_seconds)
    return [Claimed(*row) for row in rows]


async def read_bodies(
    database: Database, stripe_event_ids: Sequence[str], *, within_seconds: float
) -> Mapping[str, bytes]:
    """Read the bodies of these webhooks, by id."""
    rows = await database.fetch(QUERIES["read_bodies"], stripe_event_ids, within_seconds=within_seconds)
    return {row["stripe_event_id"]: row["body"] for row in rows}
