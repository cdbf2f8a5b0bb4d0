"""The comparison starts on an empty ground."""

from contextlib import aclosing
from dataclasses import replace

from bench.compare import rounds
from bench.ground import prepare
from bench.plan import Plan


async def test_the_first_run_begins_without_a_stream_and_counts_answers() -> None:
    """The stream is made before its consumer starts."""
    plan = replace(Plan.short(), seconds=0.2, warm_up_seconds=0.1)
    async with prepare() as ground, aclosing(rounds(ground, plan)) as runs:
        first = await anext(runs)
    assert first.acknowledged > 0
    assert first.lost_nothing
