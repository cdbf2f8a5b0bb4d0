"""Begin pauses and end them, and read what is paused; who decided and why stands in the operations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from sluice.contract.thin import PING
from sluice.failures import Rejected
from sluice.inbox.operations import AnyConnection, Decision
from sluice.inbox.pauses import HandlersOf, Kind, Pause, Traits
from sluice.inbox.states import OPEN, State, state_expression
from sluice.operations.book import Counted
from sluice.operations.filters import like
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "pauses.sql")
MOST_COUNTED: Final = 100_000
_WAITING = (*OPEN, State.PAUSED)
_COUNT = f"""
SELECT webhook_type::text AS kind, {state_expression(_WAITING)} AS state, count(*) AS count
FROM webhook_logs
WHERE ({" OR ".join(f"({state.condition})" for state in _WAITING)}) AND webhook_type <> '{PING}'
  AND CASE $1::text
        WHEN 'all' THEN true
        WHEN 'type' THEN webhook_type LIKE $2 OR regexp_replace(webhook_type, '^v1\\.', '') LIKE $2
        WHEN 'account' THEN stripe_account_id = $2
        WHEN 'handler' THEN regexp_replace(webhook_type, '^v1\\.', '')
                            = ANY (CASE WHEN tenant IS NULL THEN $3::text[] ELSE $4::text[] END)
      END
GROUP BY 1, 2
ORDER BY count(*) DESC, 1, 2
"""  # noqa: S608 - the text is our own


class AlreadyPaused(Rejected):
    """A pause of the same is in force."""

    code = "already_paused"


class NotPaused(Rejected):
    """No such pause is in force."""

    code = "not_paused"


@dataclass(frozen=True, slots=True)
class Target:
    """Object of a pause, or of its end; a ``value`` goes with every kind but ``ALL``."""

    kind: Kind
    value: str | None = None

    def __str__(self) -> str:
        """As people read it."""
        return "everything" if self.kind is Kind.ALL else f"{self.kind} {self.value}"


@dataclass(frozen=True, slots=True)
class Taken:
    """Types that a handler takes."""

    from_platform: Sequence[str] = ()
    from_organisers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class OpenPause:
    """A pause in force, or one that ended and lets webhooks go yet."""

    id: int
    kind: str
    value: str | None
    began_at: datetime
    person: str
    login: str
    reason: str
    ended_at: datetime | None
    ended_by: str | None
    waiting: int
    """Webhooks that wait for it, counted to a limit."""

    @property
    def target(self) -> Target:
        """Object of the pause."""
        return Target(Kind(self.kind), self.value)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.ended_at is not None

    def covers(self, webhook: Traits, handlers_of: HandlersOf) -> bool:
        """Whether a webhook would wait for it."""
        return not self.is_over and Pause(self.id, Kind(self.kind), self.value).covers(webhook, handlers_of)


@dataclass(frozen=True, slots=True)
class Wait:
    """A webhook's wait for a pause."""

    pause: OpenPause
    since: datetime | None
    """None: it is covered, and waits as soon as it is its turn."""


async def begin(session: AnyConnection, target: Target, decision: Decision) -> int:
    """
    Let everything wait that a pause covers; its number.

    Raises:
        AlreadyPaused: the same is paused by another one.
    """
    pause_id: int | None = await session.fetchval(
        QUERIES["begin"], str(target.kind), target.value, decision.reason, decision.actor
    )
    if pause_id is None:
        raise AlreadyPaused(f"{target} is paused already.")
    return pause_id


async def end(session: AnyConnection, pause_ids: Sequence[int], decision: Decision) -> Sequence[int]:
    """
    End these pauses; what waits for no other one is let go. Gives the numbers of those that ended now.

    Raises:
        NotPaused: none of them is in force.
    """
    rows = await session.fetch(QUERIES["end"], list(pause_ids), decision.reason, decision.actor)
    if not rows:
        raise NotPaused("No such pause is in force.")
    return [row["id"] for row in rows]


async def read_open(session: AnyConnection, *, count_to: int = MOST_COUNTED) -> Sequence[OpenPause]:
    """Read the pauses in force, and those that let webhooks go yet."""
    return [OpenPause(**row) for row in await session.fetch(QUERIES["open"], count_to)]


async def count_covered(session: AnyConnection, target: Target, taken: Taken) -> Sequence[Counted]:
    """
    Count the webhooks that wait for anything and are covered by a pause, by type and state.

    Args:
        taken: of a handler, the types that it takes.
    """
    value = like(target.value or "") if target.kind is Kind.TYPE else target.value
    rows = await session.fetch(_COUNT, target.kind, value, list(taken.from_platform), list(taken.from_organisers))
    return [Counted(**row) for row in rows]


async def wait_of(session: AnyConnection, stripe_event_id: str) -> Wait | None:
    """Tell which pause a paused webhook waits for; None: it does not wait for any."""
    rows: list[asyncpg.Record] = await session.fetch(QUERIES["waits_for"], stripe_event_id)
    by_id = {pause.id: pause for pause in await read_open(session, count_to=1)} if rows else {}
    return next((Wait(by_id[row["pause_id"]], row["paused_at"]) for row in rows if row["pause_id"] in by_id), None)


async def coming_wait(session: AnyConnection, webhook: Traits, handlers_of: HandlersOf) -> Wait | None:
    """Tell for which pause an open webhook will wait when it is its turn; None: it will be tried."""
    covering = (pause for pause in await read_open(session, count_to=1) if pause.covers(webhook, handlers_of))
    return next((Wait(pause, None) for pause in covering), None)
