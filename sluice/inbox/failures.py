"""Put on record what became of an attempt that had no effect, in a transaction of its own."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sluice.postgres.pool import Database
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "failures.sql")


class NextAttempt(NamedTuple):
    """When a failed event is tried again, and when it is not."""

    delay_seconds: float
    is_last: bool
    """The attempt that failed was the last; an event that was ever parked lives by its patience instead."""
    patience_seconds: float
    starts: int = 0
    """Starts of isolated runs that stay on record, so that the next attempt runs alone too."""


class Postponement(NamedTuple):
    """Result of ``postpone``."""

    is_first: bool
    """Nothing had held the event up before."""
    is_dead: bool
    postponed_since: datetime


async def record_failure(
    database: Database, stripe_event_id: str, attempt: int, error: str, following: NextAttempt
) -> bool | None:
    """
    Count a failed attempt; schedule the next or mark the event dead.

    Returns:
        Whether it is dead; None: it is over, or this attempt is on record already.
    """
    rows = await database.fetch(QUERIES["record_failure"], stripe_event_id, attempt, error, *following)
    return rows[0]["is_dead"] if rows else None


async def dead_letter(database: Database, stripe_event_id: str, attempt: int, error: str) -> bool:
    """Mark an event dead for which no attempt can succeed; False: it is over, or on record already."""
    return bool(await database.fetch(QUERIES["dead_letter"], stripe_event_id, attempt, error))


async def postpone(
    database: Database, stripe_event_id: str, attempt: int, reason: str, *, patience_seconds: float
) -> Postponement | None:
    """
    Let an event come back later that others hold up, without counting an attempt.

    Args:
        patience_seconds: how long others may hold it up; after that it is dead.

    Returns:
        None: it is over, or on record already.
    """
    rows = await database.fetch(QUERIES["postpone"], stripe_event_id, attempt, reason, patience_seconds)
    return Postponement(*rows[0]) if rows else None


async def defer(database: Database, attempts: Mapping[str, int]) -> None:
    """Let these events, each with its attempt, come back later; nothing failed."""
    await database.execute(QUERIES["defer"], list(attempts), list(attempts.values()))
