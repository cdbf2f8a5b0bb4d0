"""Which secrets have verified a webhook, and when last: the proof that a secret is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from asyncpg import Record

from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "proofs.sql")
_NEWEST = 10_000


class Fetches(Protocol):
    """A connection, or a pool of them."""

    async def fetch(self, query: str, *arguments: object) -> Sequence[Record]:
        """The rows of a query."""


@dataclass(frozen=True, slots=True)
class Proofs:
    """The secrets of the platform's URL, by fingerprint."""

    last_seen: Mapping[str, float]
    """When each last verified a webhook, of the newest ones; seconds since the Unix epoch."""
    configured: tuple[str, ...] | None = None
    """Those that ingest holds; None: not known."""
    since: float | None = None
    """How far back was looked; None: over the whole log."""
    has_connected: bool = False
    """Whether webhooks of connected accounts come."""


async def read_proofs(
    database: Fetches, *, configured: tuple[str, ...] | None, newest: int = _NEWEST
) -> tuple[Proofs, float]:
    """
    Read the proofs in the newest webhooks, and PostgreSQL's clock.

    Args:
        newest: webhooks looked at, so that the look costs the same for any log.
    """
    rows = await database.fetch(QUERIES["last_seen"], newest)
    (reach,) = await database.fetch(QUERIES["reach"], newest)
    proofs = Proofs(
        {row["verified_by"]: row["last_at"] for row in rows},
        configured=configured,
        since=reach["since"],
        has_connected=reach["has_connected"],
    )
    return proofs, reach["now"]
