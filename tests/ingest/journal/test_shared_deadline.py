"""One timer for all who wait."""

import asyncio
import time

import pytest

from ingest.errors import OutOfTime
from ingest.journal.shared_deadline import Deadline


async def test_a_late_one_fails_soon_after_its_deadline() -> None:
    """Each has its own time, counted from when it came, and the timer goes on for those who came later."""
    deadline = Deadline(0.1, OutOfTime)
    loop = asyncio.get_running_loop()
    for _ in range(2):
        began = time.monotonic()
        late: asyncio.Future[None] = loop.create_future()
        deadline.watch(late)
        with pytest.raises(OutOfTime):
            await asyncio.wait_for(late, 2)
        assert 0.09 < time.monotonic() - began < 1


async def test_one_that_is_done_in_time_is_left_alone() -> None:
    """An answer that came first stays the answer."""
    deadline = Deadline(0.05, OutOfTime)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[str] = loop.create_future()
    late: asyncio.Future[None] = loop.create_future()
    deadline.watch(done)
    deadline.watch(late)
    done.set_result("yes")
    with pytest.raises(OutOfTime):
        await asyncio.wait_for(late, 2)
    assert done.result() == "yes"
