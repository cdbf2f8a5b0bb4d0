"""Change rows because an operator says so; who and why commit together with the change."""

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


async def retry(session: AnyConnection, stripe_event_ids: Collection[str], decision: Decision) -> Collection[str]:
    """Make waiting rows due now; the ids of those that were changed."""
    return await _change(session, "retry", stripe_event_ids, decision)


async def replay(session: AnyConnection, stripe_event_ids: Collection[str], decision: Decision) -> Collection[str]:
    """Begin another life of dead rows, with all attempts; the ids of those that were changed."""
    return await _change(session, "replay", stripe_event_ids, decision)


async def replay_ended(
    session: AnyConnection, stripe_event_ids: Collection[str], decision: Decision
) -> Collection[str]:
    """Begin another life of rows that are processed or written off; the ids of those that were changed."""
    return await _change(session, "replay_ended", stripe_event_ids, decision)


async def write_off(session: AnyConnection, stripe_event_ids: Collection[str], decision: Decision) -> Collection[str]:
    """Let dead rows rest without an effect; the ids of those that were changed."""
    return await _change(session, "write_off", stripe_event_ids, decision)


async def read_states(session: AnyConnection, stripe_event_ids: Collection[str]) -> Mapping[str, State]:
    """Read the states of these rows, by id; an id without a row is not among them."""
    rows = await session.fetch(_READ_STATES, list(stripe_event_ids))
    return {row["stripe_event_id"]: State[row["state"].upper()] for row in rows}


async def _change(
    session: AnyConnection, query: str, stripe_event_ids: Collection[str], decision: Decision
) -> Collection[str]:
    rows = await session.fetch(QUERIES[query], list(stripe_event_ids), decision.actor, decision.reason)
    return {row["stripe_event_id"] for row in rows}
