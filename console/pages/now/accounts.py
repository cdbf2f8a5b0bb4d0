"""How far each account is complete: everything that Stripe created before that moment is in the log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "accounts.sql")
_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class Complete:
    """One account in one mode."""

    account: str
    livemode: bool
    complete_until: datetime
    missing: int
    problem: str | None


async def least_complete(connection: Connection) -> Sequence[Complete]:
    """Read the accounts that are furthest behind."""
    return [Complete(**row) for row in await connection.fetch(QUERIES["least_complete"], _AT_MOST)]
