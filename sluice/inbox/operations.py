"""Change rows because an operator says so; the record of each commits together with the change."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sluice.inbox.states import State, state_expression
from sluice.postgres.pool import Connection
from sluice.postgres.session_mark import Session
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "operations.sql")
_READ_STATES = f"""
SELECT stripe_event_id, {state_expression()} AS state
FROM webhook_logs
WHERE stripe_event_id = ANY ($1::text[])
"""  # noqa: S608 - the text is our own

AnyConnection: TypeAlias = "Connection | Session"


@dataclass(frozen=True, slots=True)
class Decision:
    """The operator who decided on an operation, and the reason."""

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """Items of an operation that one transaction took, and how many of them ended."""

    is_open: bool
    """Whether the operation goes on."""
    taken: int
    ended: int
    last_position: int | None


async def carry_out(session: AnyConnection, operation_id: int, *, after: int, at_most: int, gives_up: bool) -> Step:
    """
    Make the transitions of an operation's next items; each commits with its record.

    Args:
        after: the position that was reached.
        gives_up: leave a row for good that another transaction holds.
    """
    return Step(**(await session.fetch(QUERIES["carry_out"], operation_id, after, at_most, gives_up))[0])


async def read_states(session: AnyConnection, stripe_event_ids: Collection[str]) -> Mapping[str, State]:
    """Read the states of these rows, by id; an id without a row is not among them."""
    rows = await session.fetch(_READ_STATES, list(stripe_event_ids))
    return {row["stripe_event_id"]: State[row["state"].upper()] for row in rows}
