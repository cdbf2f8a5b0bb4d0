"""Read webhooks in trouble, each index from its newest end and no further than a bound."""

from collections.abc import Sequence
from dataclasses import dataclass

from console.pages.trouble.groups import VERBS, Failing, Group, grouped
from sluice.operations.filters import STATE
from sluice.postgres.pool import Connection

LOOK_THROUGH = 20_000
_DEATHS_AT_MOST = 100_000
"""Deaths that are looked through for those that were not written off or mended."""
_GROUPED = """
SELECT
    state, error, count(*) AS count, min(seen_at) AS first_at, max(seen_at) AS last_at, min(next_at) AS next_at,
    array_agg(DISTINCT kind) AS types, max(key) AS example
FROM ({choice}) AS chosen
WHERE state = ANY ($2::text[])
GROUP BY state, error
ORDER BY count DESC
"""
_DEAD = f"""
SELECT state, error, seen_at, next_at, kind, key
FROM (
    SELECT {STATE} AS state, last_error::text AS error, dead_at::timestamptz AS seen_at, NULL::timestamptz AS next_at,
           webhook_type::text AS kind, stripe_event_id::text AS key
    FROM webhook_logs
    WHERE dead_at IS NOT NULL
    ORDER BY dead_at DESC
    LIMIT {_DEATHS_AT_MOST}
) AS deaths
WHERE state = ANY ($2::text[])
LIMIT $1"""  # noqa: S608 - the text is our own
_WAITING = f"""
SELECT {STATE} AS state, last_error::text AS error, created_at::timestamptz AS seen_at,
       next_attempt_at::timestamptz AS next_at, webhook_type::text AS kind, stripe_event_id::text AS key
FROM webhook_logs
WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NULL
ORDER BY next_attempt_at DESC
LIMIT $1"""  # noqa: S608 - the text is our own


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    Everything that does not go as it should.

    Args:
        dead_beyond: there may be more dead than were looked at.
        waiting_beyond: the same of those that wait.
    """

    groups: Sequence[Group]
    dead_beyond: bool
    waiting_beyond: bool

    @property
    def counts(self) -> Sequence[tuple[str, int]]:
        """How many webhooks are in each state."""
        return [(state, sum(one.count for one in self.groups if one.state == state)) for state in VERBS]


async def read_trouble(connection: Connection) -> Trouble:
    """Read it."""
    dead = await _read(connection, _DEAD)
    waiting = await _read(connection, _WAITING)
    beyond = [sum(one.count for one in part) >= LOOK_THROUGH for part in (dead, waiting)]
    return Trouble(grouped([*dead, *waiting]), *beyond)


async def _read(connection: Connection, choice: str) -> Sequence[Failing]:
    rows = await connection.fetch(_GROUPED.format(choice=choice), LOOK_THROUGH, list(VERBS))
    return [Failing(**row) for row in rows]
