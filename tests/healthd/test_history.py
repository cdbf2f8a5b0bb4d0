"""Old looks do not count: health states of different age come to the same verdict."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.debounce import LOOKS_THAT_CONVINCE
from healthd.findings import Limits
from healthd.health_state import HealthState
from healthd.observations import DatabaseSeen, Observation, Problem, SchemaSeen, ServiceSeen, StreamSeen, WebhooksSeen
from healthd.rules import Reason
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


def _state() -> HealthState:
    return HealthState(["ingest"], LIMITS, clock=lambda: NOW)


def _look(state: HealthState, looks: tuple[object, ...]) -> None:
    """One round: what each source gave."""
    service, database, webhooks, schema, stream = looks
    was = state.snapshot
    state.put_service("ingest", _after(was.services["ingest"], service))
    state.put_database(_after(was.database, database))
    state.put_webhooks(_after(was.webhooks, webhooks))
    state.put_schema(_after(was.schema, schema))
    state.put_stream(_after(was.stream, stream))


def _after(observation: Observation, gave: object) -> Observation:  # type: ignore[type-arg]  # one for all sources
    return observation.missed(gave, at=NOW) if isinstance(gave, Problem) else observation.saw(gave, at=NOW)


@given(past=st.lists(LOOKS, max_size=6), now=LOOKS)
def test_only_the_last_looks_that_agree_count(past: list[tuple[object, ...]], now: tuple[object, ...]) -> None:
    """A healthd of a week and one of a moment say the same as soon as both have seen the same."""
    old, new = _state(), _state()
    for looks in past:
        _look(old, looks)
    for _ in range(LOOKS_THAT_CONVINCE):
        _look(old, now)
        _look(new, now)
    assert old.verdict() == new.verdict()


@given(LOOKS)
def test_the_first_verdict_waits_until_doubts_are_cleared_up(first: tuple[object, ...]) -> None:
    """A first look that found something needs a second; one packet that is lost at the start is no outage."""
    state, calm = _state(), (SERVICE[0], DATABASE[0], WEBHOOKS[0], SCHEMA[0], STREAM[0])
    assert not state.has_first_verdict
    _look(state, first)
    if state.verdict().findings:
        assert not state.has_first_verdict
    for _ in range(LOOKS_THAT_CONVINCE):
        _look(state, calm)
    assert state.has_first_verdict
    assert not state.verdict().findings


@pytest.mark.parametrize("gave", DEAD)
def test_a_trouble_that_lasts_is_a_first_verdict_too(gave: Problem) -> None:
    """Two looks are enough to be sure."""
    state = _state()
    for _ in range(LOOKS_THAT_CONVINCE):
        _look(state, (SERVICE[0], gave, gave, gave, gave))
    assert state.has_first_verdict
    assert Reason.DATABASE_DOWN in {finding.reason for finding in state.verdict().findings}
