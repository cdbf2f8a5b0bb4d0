"""The states: each row is in exactly one, and what the transitions name exists."""

from sluice.inbox.states import TRANSITIONS, State, state_expression
from sluice.postgres.pool import Database

EVERY_ROW = """
SELECT processed, dead_at, next_attempt_at, published_at, postponed_at, outcome
FROM unnest(ARRAY[false, true, NULL]) AS processed,
     unnest(ARRAY[now(), NULL]) AS dead_at,
     unnest(ARRAY[now(), 'infinity', NULL]) AS next_attempt_at,
     unnest(ARRAY[now(), NULL]) AS published_at,
     unnest(ARRAY[now(), NULL]) AS postponed_at,
     unnest(ARRAY['failed', 'parked', 'unsupported', 'fetching', 'unfetchable', 'applied', NULL]) AS outcome
"""


async def test_every_row_is_in_exactly_one_state(database: Database) -> None:
    """Whatever the columns say, one condition holds and no other."""
    holding = " + ".join(f"coalesce({state.condition}, false)::integer" for state in State)
    rows = await database.fetch(
        f"SELECT {holding} AS states, count(*) FROM ({EVERY_ROW}) AS every_row GROUP BY 1"  # noqa: S608
    )
    assert [tuple(row) for row in rows] == [(1, 504)]


async def test_the_expression_names_each_state(database: Database) -> None:
    """The SQL that operators filter by knows them all, and leaves no row without one."""
    rows = await database.fetch(
        f"SELECT DISTINCT {state_expression()} AS state FROM ({EVERY_ROW}) AS every_row"  # noqa: S608
    )
    assert {row["state"] for row in rows} == {str(state) for state in State}


def test_transitions_have_names_of_their_own() -> None:
    """People tell them apart by their names."""
    names = [transition.name for transition in TRANSITIONS]
    assert len(set(names)) == len(names)
