"""The schedule of attempts, and the patience with missing rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.failures.retry_policy import Patience, Schedule

HOUR = 3600


def exactly(seconds: float) -> float:
    """No jitter."""
    return seconds


def test_sixteen_attempts_last_seventy_two_hours() -> None:
    """The waits between the sixteen attempts add up to what the design promises, and none lasts a day."""
    schedule = Schedule(spread=exactly)
    waits = [schedule.delay_seconds(attempt) for attempt in range(1, 16)]
    assert sum(waits) == pytest.approx(72 * HOUR)
    assert waits == sorted(waits)
    assert waits[0] == 5
    assert max(waits) <= 12 * HOUR
    assert not schedule.is_last(15)
    assert schedule.is_last(16)


@given(attempts=st.integers(1, 40), over=st.floats(0, 30 * 86_400))
def test_every_schedule_waits_a_sane_time(attempts: int, over: float) -> None:
    """Whatever a person configures, a wait is finite and never negative."""
    schedule = Schedule(attempts=attempts, over_seconds=over)
    assert all(0 <= schedule.delay_seconds(attempt) <= over + 10 for attempt in range(1, attempts + 5))


def test_waits_are_spread() -> None:
    """Events that failed together do not come back together."""
    assert len({Schedule().delay_seconds(8) for _ in range(20)}) > 1


def test_a_parked_event_looks_at_least_every_ten_minutes() -> None:
    """The wait for a missing row grows to ten minutes and no further."""
    patience = Patience(spread=exactly)
    assert patience.delay_seconds(1) == 5
    assert patience.delay_seconds(2) == 10
    assert patience.delay_seconds(5_000) == 600
