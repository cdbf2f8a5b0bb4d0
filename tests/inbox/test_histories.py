"""Any history of a webhook keeps to the transitions."""

from collections.abc import Sequence
from typing import TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.inbox.operations import read_states
from sluice.inbox.states import State
from sluice.postgres.pool import Connection, Database
from tests.inbox.rows import COMPANION, EVENT, ROWS, TRIALS, Columns, Writer, put
from tests.inbox.transitions import leads

Step: TypeAlias = "tuple[Writer, int] | None"
"""A query and the number of its trial; None: an hour passes."""

STEPS: Sequence[Step] = [(writer, number) for writer, trials in TRIALS.items() for number in range(len(trials))]
STARTS: Sequence[Columns | None] = [None, *(columns for rows in ROWS.values() for columns in rows)]
_AN_HOUR_PASSES = """
UPDATE webhook_logs
SET next_attempt_at = next_attempt_at - interval '1 hour', published_at = published_at - interval '1 hour',
    postponed_at = postponed_at - interval '1 hour', parked_at = parked_at - interval '1 hour'
"""


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    start=st.sampled_from(STARTS),
    history=st.lists(st.one_of(st.none(), *[st.sampled_from(STEPS)] * 3), min_size=20, max_size=60),
)
async def test_no_history_leaves_the_transitions(
    database: Database, start: Columns | None, history: list[Step]
) -> None:
    """Whatever services and operators do in whatever order, each change is one that the page lists."""
    async with database.acquire() as owner:
        await _begin(owner, start)
        for step in history:
            before, row = await _look(owner)
            if step is None:
                await owner.execute(_AN_HOUR_PASSES)
                continue
            writer, number = step
            await TRIALS[writer][number].run(database, await _attempt(owner))
            after, changed = await _look(owner)
            assert changed == row or (after is not None and leads(writer, before, after)), (step, before, after)


async def _begin(owner: Connection, start: Columns | None) -> None:
    """One row, or none, beside the one that lets a transaction settle."""
    await put(owner, {} if start is None else start)
    if start is None:
        await owner.execute("DELETE FROM webhook_logs WHERE stripe_event_id <> $1", COMPANION)


async def _attempt(owner: Connection) -> int:
    found: int | None = await owner.fetchval(
        "SELECT processing_attempts FROM webhook_logs WHERE stripe_event_id = $1", EVENT.stripe_event_id
    )
    return found or 0


async def _look(owner: Connection) -> tuple[State | None, str | None]:
    row: str | None = await owner.fetchval(
        "SELECT to_jsonb(w)::text FROM webhook_logs AS w WHERE stripe_event_id = $1", EVENT.stripe_event_id
    )
    return (await read_states(owner, [EVENT.stripe_event_id])).get(EVENT.stripe_event_id), row
