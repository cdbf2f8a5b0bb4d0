"""What was long ago has no say: boards of different age come to the same verdict."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.findings import Limits
from healthd.health_state import Board
from healthd.observations import DatabaseSeen, Problem, SchemaSeen, ServiceSeen, Sight, StreamSeen, WebhooksSeen
from healthd.rules import Reason
from healthd.verdict import LOOKS_THAT_CONVINCE
from tests.healthd.builders import NOW, OTHER_REPLICA, REPLICA

LIMITS = Limits(replicas_at_least={"ingest": 2})
DEAD = [Problem.TIMED_OUT, Problem.UNREACHABLE]
SERVICE: Sequence[ServiceSeen | Problem] = [
    ServiceSeen((REPLICA, OTHER_REPLICA)),
    ServiceSeen((REPLICA,)),
    ServiceSeen(),
    Problem.UNRESOLVED,
]
DATABASE: Sequence[DatabaseSeen | Problem] = [DatabaseSeen(0.001, 10, 100), DatabaseSeen(0.001, 95, 100), *DEAD]
WEBHOOKS: Sequence[WebhooksSeen | Problem] = [
    WebhooksSeen(),
    WebhooksSeen(backlog=1, oldest_unprocessed_age_seconds=900),
    WebhooksSeen(dead=1),
    Problem.NO_SCHEMA,
    *DEAD,
]
SCHEMA: Sequence[SchemaSeen | Problem] = [SchemaSeen(), SchemaSeen(("secret_readable",)), SchemaSeen(("x",)), *DEAD]
STREAM: Sequence[StreamSeen | Problem] = [StreamSeen(), *DEAD]

LOOKS = st.tuples(*(st.sampled_from(seen) for seen in (SERVICE, DATABASE, WEBHOOKS, SCHEMA, STREAM)))


def _board() -> Board:
    return Board(["ingest"], LIMITS, clock=lambda: NOW)


def _look(board: Board, looks: tuple[object, ...]) -> None:
    """One round: what each source gave."""
    service, database, webhooks, schema, stream = looks
    was = board.snapshot
    board.put_service("ingest", _after(was.services["ingest"], service))
    board.put_database(_after(was.database, database))
    board.put_webhooks(_after(was.webhooks, webhooks))
    board.put_schema(_after(was.schema, schema))
    board.put_stream(_after(was.stream, stream))


def _after(sight: Sight, gave: object) -> Sight:  # type: ignore[type-arg]  # one for all sources
    return sight.missed(gave, at=NOW) if isinstance(gave, Problem) else sight.saw(gave, at=NOW)


@given(past=st.lists(LOOKS, max_size=6), now=LOOKS)
def test_only_the_last_looks_that_agree_count(past: list[tuple[object, ...]], now: tuple[object, ...]) -> None:
    """A healthd of a week and one of a moment say the same as soon as both have seen the same."""
    old, new = _board(), _board()
    for looks in past:
        _look(old, looks)
    for _ in range(LOOKS_THAT_CONVINCE):
        _look(old, now)
        _look(new, now)
    assert old.verdict() == new.verdict()


@given(LOOKS)
def test_the_first_verdict_waits_until_doubts_are_cleared_up(first: tuple[object, ...]) -> None:
    """A first look that found something needs a second; one packet that is lost at the start is no outage."""
    board, calm = _board(), (SERVICE[0], DATABASE[0], WEBHOOKS[0], SCHEMA[0], STREAM[0])
    assert not board.has_first_verdict
    _look(board, first)
    if board.verdict().findings:
        assert not board.has_first_verdict
    for _ in range(LOOKS_THAT_CONVINCE):
        _look(board, calm)
    assert board.has_first_verdict
    assert not board.verdict().findings


@pytest.mark.parametrize("gave", DEAD)
def test_a_trouble_that_lasts_is_a_first_verdict_too(gave: Problem) -> None:
    """Two looks are enough to be sure."""
    board = _board()
    for _ in range(LOOKS_THAT_CONVINCE):
        _look(board, (SERVICE[0], gave, gave, gave, gave))
    assert board.has_first_verdict
    assert Reason.DATABASE_DOWN in {finding.reason for finding in board.verdict().findings}
