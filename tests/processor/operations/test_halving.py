"""Where many fail together, each failure is found, and the others run."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.failures.classify import HandlerFailed
from processor.operations.halving import Interrupted, Waiting, run_in_parts
from processor.outcome import Attempt
from tests.processor.harness import event

WORKS = [Attempt(event(event_id=f"evt_{number:02}"), 0) for number in range(16)]


@given(st.sets(st.integers(0, 15)), st.sampled_from(("nothing", "all that fail", "one by one")))
async def test_each_that_fails_is_told_of_once_and_the_others_run_once(bad: set[int], names: str) -> None:
    """Whatever the error says of whom it is about."""
    failing = {WORKS[number].event_id for number in bad}
    ran: list[str] = []
    failed: list[str] = []

    async def run(works: Sequence[Attempt]) -> None:
        found = [work.event_id for work in works if work.event_id in failing]
        if found and names == "all that fail":
            raise Waiting(dict.fromkeys(found, "row 7"))
        if found:
            raise HandlerFailed("shop.points", events=frozenset(found[:1] if names == "one by one" else ()))
        ran.extend(work.event_id for work in works)

    async def fail(work: Attempt, error: Exception) -> None:
        failed.append(work.event_id)

    await run_in_parts(WORKS, run, fail)
    assert sorted(failed) == sorted(failing)
    assert sorted(ran) == sorted({work.event_id for work in WORKS} - failing)


async def test_an_interruption_ends_all() -> None:
    """There is no connection to go on with."""

    async def run(works: Sequence[Attempt]) -> None:
        raise Interrupted([work.event_id for work in works])

    async def fail(work: Attempt, error: Exception) -> None:
        raise AssertionError(work)

    with pytest.raises(Interrupted):
        await run_in_parts(WORKS, run, fail)
