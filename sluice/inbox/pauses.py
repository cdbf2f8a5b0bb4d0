"""Pauses: what operators let wait. Which webhooks a pause covers, and the way into the wait and out of it."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from sluice.contract.event import StripeEvent
from sluice.contract.thin import PING, plain_type
from sluice.postgres.pool import Connection, Database
from sluice.postgres.sql import columns, load_queries

QUERIES = load_queries(__file__, "pauses.sql")


class Kind(StrEnum):
    """Trait that a pause goes by."""

    ALL = "all"
    TYPE = "type"
    ACCOUNT = "account"
    HANDLER = "handler"


class Traits(NamedTuple):
    """All of a webhook that decides whether a pause covers it."""

    event_type: str
    account: str | None
    tenant: str | None


HandlersOf: TypeAlias = Callable[[Traits], Collection[str]]
"""Names the handlers that a webhook goes to."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause; a ``value`` goes with every kind but ``ALL``."""

    id: int
    kind: Kind
    value: str | None
    is_over: bool = False
    """Whether it has ended, and only lets go of what waits for it."""

    def covers(self, webhook: Traits, handlers_of: HandlersOf) -> bool:
        """
        Whether a webhook waits while this pause is in force.

        A thin event is covered as its twin is. A ping is not: it has no effect, and tells whether all is on its way.
        """
        if webhook.event_type == PING:
            return False
        match self.kind:
            case Kind.ALL:
                return True
            case Kind.TYPE:
                return matches(self.value or "", plain_type(webhook.event_type), webhook.event_type)
            case Kind.ACCOUNT:
                return webhook.account == self.value
            case Kind.HANDLER:
                return self.value in handlers_of(webhook)


class Held(NamedTuple):
    """A message whose webhook is to wait, and for which pause."""

    event: StripeEvent
    attempt: int
    pause_id: int


class Waiting(NamedTuple):
    """A webhook that waits for a pause."""

    stripe_event_id: str
    position: int
    webhook: Traits


def matches(glob: str, *texts: str) -> bool:
    """Whether one of these texts is such: ``*`` is any text, ``?`` any character, everything else itself."""
    pattern = _pattern(glob)
    return any(pattern.fullmatch(text) is not None for text in texts)


def traits_of(event: StripeEvent) -> Traits:
    """Take of an event what a pause looks at."""
    return Traits(event.type, event.account, event.tenant)


async def read_pauses(database: Database) -> Sequence[Pause]:
    """Read what is in force, and what has ended and may hold webhooks yet; the oldest first."""
    rows = await database.fetch(QUERIES["look"])
    return [Pause(row["id"], Kind(row["kind"]), row["value"], row["is_over"]) for row in rows]


async def set_aside(connection: Connection, held: Sequence[Held]) -> Mapping[str, bool]:
    """
    Let webhooks wait, each for its pause.

    Returns:
        By id: True where it waits now; False where its pause has ended, so that it may run. What is in neither is
        over, in other hands, or no such webhook.
    """
    rows = await connection.fetch(QUERIES["set_aside"], *columns(map(_row, held), 6))
    return {row["stripe_event_id"]: row["is_paused"] for row in rows}


async def may_let_go(connection: Connection) -> bool:
    """Whether this transaction alone lets webhooks go."""
    (row,) = await connection.fetch(QUERIES["may_let_go"])
    is_first: bool = row["is_first"]
    return is_first


async def take(
    connection: Connection, pause_ids: Collection[int], *, after: int, rows_at_most: int
) -> Sequence[Waiting]:
    """Read what waits for these pauses, in the order in which it came to wait, from a place on."""
    rows = await connection.fetch(QUERIES["take"], list(pause_ids), after, rows_at_most)
    return [
        Waiting(
            row["stripe_event_id"],
            row["position"],
            Traits(row["webhook_type"] or "", row["stripe_account_id"], row["tenant"]),
        )
        for row in rows
    ]


async def let_go(connection: Connection, others: Mapping[str, int | None]) -> int:
    """
    Make webhooks due whose pause has ended; how many.

    Args:
        others: by id, the pause in force that covers it as well, and for which it waits from now on; None: none does.
    """
    (row,) = await connection.fetch(QUERIES["let_go"], list(others), list(others.values()))
    return int(row["let_go"])


async def note_empty(connection: Connection) -> None:
    """Note which of the pauses that ended hold nothing any more."""
    await connection.fetch(QUERIES["let_go"], [], [])


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(letter, re.escape(letter)) for letter in glob), re.DOTALL)


def _row(held: Held) -> tuple[object, ...]:
    event = held.event
    return event.stripe_event_id, held.attempt, event.type, event.account, event.tenant, held.pause_id
