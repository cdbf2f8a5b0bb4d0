"""The one backoff."""

from hypothesis import given
from hypothesis import strategies as st

from sluice.runtime.backoff import Backoff, jitter

SECONDS = st.floats(0, 1e6)


def test_each_pause_is_twice_the_last_up_to_the_longest() -> None:
    """0.1 s first, 1 s at most."""
    backoff = Backoff(0.125, 1)
    assert [backoff.seconds(failures) for failures in range(1, 7)] == [0.125, 0.25, 0.5, 1, 1, 1]


def test_another_factor_grows_at_another_pace() -> None:
    """An idle loop slows down more gently."""
    assert Backoff(1, 100, factor=1.5).seconds(3) == 2.25


@given(first=SECONDS, longest=SECONDS, factor=st.floats(1, 1e3), failures=st.integers(1, 10**6))
def test_no_pause_exceeds_the_longest(first: float, longest: float, factor: float, failures: int) -> None:
    """However often it failed: a power too large for a float is the longest pause."""
    backoff = Backoff(first, longest, factor)
    assert 0 <= backoff.seconds(failures) <= backoff.seconds(failures + 1) <= longest


@given(failures=st.integers(1, 50))
def test_jitter_stays_within_its_share(failures: int) -> None:
    """A quarter longer or shorter, and not always the same."""
    plain, spread = Backoff(1, 60), Backoff(1, 60, spread=jitter(0.75, 1.25))
    pauses = {spread.seconds(failures) / plain.seconds(failures) for _ in range(20)}
    assert all(0.75 <= pause <= 1.25 for pause in pauses)
    assert len(pauses) > 1
