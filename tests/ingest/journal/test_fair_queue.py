"""The order of the journal's queue; nothing is lost or counted twice."""

import asyncio
from collections import Counter
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import TooMuchAtOnce
from ingest.journal.batch import QueuedWebhook
from ingest.journal.fair_queue import FairQueue
from ingest.journal.receipt import ReceiptSink
from sluice.contract.event import StripeEvent


def waiting(number: int, tenant: str | None, size: int) -> QueuedWebhook:
    """One delivery of so many bytes."""
    event = StripeEvent(f"evt_{number}", "t", 0, False, None, None, None, tenant, b"x" * size)
    return QueuedWebhook(event, "test", cast("ReceiptSink", asyncio.Future))


def names(batch: list[QueuedWebhook]) -> Counter[str | None]:
    """How many of each."""
    return Counter(one.event.tenant for one in batch)


def full(*lines: tuple[str | None, int, int]) -> FairQueue:
    """A queue with lines of so many of a size."""
    queue = FairQueue(rows_max=100_000, bytes_max=1_000_000_000)
    for tenant, rows, size in lines:
        for number in range(rows):
            queue.put(waiting(number, tenant, size))
    return queue


def test_organisers_leave_the_platform_half_of_a_write() -> None:
    """And may use what it leaves."""
    queue = full((None, 100, 10), ("a", 100, 10))
    assert names(queue.take(40, 10_000).waiting) == {"a": 20, None: 20}
    queue = full((None, 5, 10), ("a", 100, 10))
    queue.take(1, 10_000)
    assert names(full(("a", 100, 10)).take(40, 10_000).waiting) == {"a": 40}


def test_large_bodies_of_organisers_are_a_quarter_of_a_write() -> None:
    """While the platform waits."""
    queue = full((None, 100, 10), ("a", 50, 1_000))
    assert names(queue.take(100, 8_000).waiting)["a"] == 2


def test_each_side_gets_one_at_least() -> None:
    """However large the other's."""
    assert names(full((None, 2, 500), ("a", 2, 900)).take(2, 100).waiting) == {"a": 1, None: 1}


def test_organisers_share_a_write_by_bytes() -> None:
    """Large bodies of one leave the same bytes to another's small ones."""
    batch = names(full(("large", 50, 100_000), ("small", 500, 1_000)).take(500, 400_000).waiting)
    assert batch["large"] <= 3
    assert batch["small"] >= 90


def test_who_did_not_fit_is_first_next_time() -> None:
    """With more organisers than rows in a write, all have their turn."""
    queue = full(*((str(number), 3, 10) for number in range(10)))
    seen = names(queue.take(5, 10_000).waiting) + names(queue.take(5, 10_000).waiting)
    assert seen == {str(number): 1 for number in range(10)}


@given(
    puts=st.lists(st.tuples(st.sampled_from([None, None, "a", "b", "c"]), st.integers(0, 3_000)), max_size=120),
    rows=st.integers(1, 20),
    body_bytes=st.integers(1, 20_000),
)
def test_all_that_was_taken_in_comes_out_once_and_in_order(
    puts: list[tuple[str | None, int]], rows: int, body_bytes: int
) -> None:
    """And what it held is free again."""
    queue, taken_in = FairQueue(rows_max=60, bytes_max=60_000), []
    for number, (tenant, size) in enumerate(puts):
        one = waiting(number, tenant, size)
        try:
            queue.put(one)
        except TooMuchAtOnce:
            continue
        taken_in.append(one)
    out: list[QueuedWebhook] = []
    while len(queue):
        taken = queue.take(rows, body_bytes)
        assert taken.waiting
        assert len(taken.waiting) <= max(rows, 2)
        out += taken.waiting
        queue.give_back(taken)
    for tenant in (None, "a", "b", "c"):
        line = [one for one in taken_in if one.event.tenant == tenant]
        assert [one for one in out if one.event.tenant == tenant] == line
    assert queue.body_bytes == 0
    queue.put(waiting(0, "a", 7_000))


def test_cleared_it_is_as_new() -> None:
    """All that waited is handed out, to be refused, and counts no more."""
    queue = FairQueue(rows_max=8, bytes_max=1_000)
    queue.put(waiting(1, "a", 100))
    queue.put(waiting(2, None, 100))
    with pytest.raises(TooMuchAtOnce):
        queue.put(waiting(3, "a", 100))
    assert len(queue.clear()) == 2
    assert (len(queue), queue.body_bytes) == (0, 0)
    queue.put(waiting(4, "a", 100))
