"""Read webhooks in trouble by cause, each index from its newest end and no further than a bound."""

from collections.abc import Sequence
from dataclasses import dataclass

from console.pages.trouble.groups import HOLE, VERBS, Group
from sluice.operations.filters import STATE
from sluice.postgres.pool import Connection

LOOK_THROUGH = 20_000
_ERRORS_AT_MOST = 2_000
"""Different errors, the most frequent, that are put into groups."""
_GROUPS_AT_MOST = 200
_NO_TROUBLE = ("queued", "written_off")
"""Read all the same: such webhooks may hide others behind the bound."""
_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\m[a-z]+_(test_|live_)?[A-Za-z]*[0-9]\w{4,}|[0-9]{6,}"
"""Keys, Stripe's ids and long numbers; an SQLSTATE, a line and a function's name tell causes apart."""
_GROUPED = r"""
SELECT
    state, handler, cause AS error, sum(count)::bigint AS count, min(first_at) AS first_at, max(last_at) AS last_at,
    min(next_at) AS next_at, array_agg(DISTINCT kind) AS types, max(example) AS example, max(of_state) AS of_state,
    count(*) OVER () AS groups
FROM (
    SELECT
        state, kind, substring(error FROM 'in handler (\S+)') AS handler, regexp_replace(error, $3, $4, 'g') AS cause,
        count, first_at, last_at, next_at, example, of_state
    FROM (
        SELECT
            state, kind, error, count(*) AS count, min(seen_at) AS first_at, max(seen_at) AS last_at,
            min(next_at) AS next_at, max(key) AS example,
            (sum(count(*)) OVER (PARTITION BY state))::bigint AS of_state
        FROM ({choice}) AS chosen
        WHERE state = ANY ($2::text[])
        GROUP BY state, error, kind
        ORDER BY count DESC
        LIMIT $5
    ) AS exact
) AS loose
GROUP BY state, handler, cause
ORDER BY count DESC, error
LIMIT $6
"""
_DEAD = f"""
SELECT {STATE} AS state, CASE WHEN NOT processed THEN last_error::text END AS error,
       dead_at::timestamptz AS seen_at, NULL::timestamptz AS next_at, webhook_type::text AS kind,
       stripe_event_id::text AS key
FROM webhook_logs
WHERE dead_at IS NOT NULL
ORDER BY dead_at DESC
LIMIT $1"""  # noqa: S608 - the text is our own
_WAITING = f"""
SELECT {STATE} AS state, last_error::text AS error, created_at::timestamptz AS seen_at,
       next_attempt_at::timestamptz AS next_at, webhook_type::text AS kind, stripe_event_id::text AS key
FROM webhook_logs
WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NULL
  AND next_attempt_at < 'infinity'
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
    found: int
    dead_beyond: bool
    waiting_beyond: bool

    @property
    def counts(self) -> Sequence[tuple[str, int]]:
        """How many webhooks are in each state."""
        known = {one.state: one.of_state for one in self.groups}
        return [(state, known.get(state, 0)) for state in VERBS]

    @property
    def ungrouped(self) -> int:
        """Webhooks whose errors are so many that they stand in no group."""
        return sum(count for _, count in self.counts) - sum(one.count for one in self.groups)


async def read_trouble(connection: Connection) -> Trouble:
    """Read it, the gravest state first, the largest group first."""
    dead = await _read(connection, _DEAD)
    waiting = await _read(connection, _WAITING)
    order = list(VERBS)
    groups = sorted(
        (one for one in (*dead, *waiting) if one.state in VERBS), key=lambda one: (order.index(one.state), -one.count)
    )
    found = sum(part[0].groups for part in (dead, waiting) if part) - len(dead) - len(waiting) + len(groups)
    return Trouble(groups, found, _is_cut(dead), _is_cut(waiting))


async def _read(connection: Connection, choice: str) -> Sequence[Group]:
    query = _GROUPED.format(choice=choice)
    rows = await connection.fetch(
        query, LOOK_THROUGH, [*VERBS, *_NO_TROUBLE], _ID, HOLE, _ERRORS_AT_MOST, _GROUPS_AT_MOST
    )
    return [Group(**row) for row in rows]


def _is_cut(groups: Sequence[Group]) -> bool:
    """Whether as many webhooks were found as are looked through."""
    return sum({one.state: one.of_state for one in groups}.values()) >= LOOK_THROUGH
