"""How many loops work: one where little comes, all where there is more or where a batch takes long."""

import asyncio

import pytest

from processor.worker.concurrency import Concurrency

NEVER = 60.0


async def _is_held_back(concurrency: Concurrency) -> bool:
    """Whether a loop that asks now waits, with nothing else left to do."""
    asking = asyncio.create_task(concurrency.wants_one_more())
    for _ in range(5):
        await asyncio.sleep(0)
    is_done = asking.done()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    return not is_done


async def test_in_a_trickle_the_next_loop_waits_for_the_one_that_works() -> None:
    """Messages that arrive meanwhile go out together, in one batch."""
    concurrency = Concurrency(late_seconds=NEVER)
    concurrency.fetched(3, asked=100)
    with concurrency.working():
        assert await _is_held_back(concurrency)
        asking = asyncio.create_task(concurrency.wants_one_more())
        await asyncio.sleep(0)
    async with asyncio.timeout(NEVER / 2):
        await asking


@pytest.mark.parametrize("taken", [100, 101])
async def test_in_a_backlog_no_loop_waits(taken: int) -> None:
    """A fetch that brought all it asked for left more behind."""
    concurrency = Concurrency(late_seconds=NEVER)
    concurrency.fetched(taken, asked=100)
    with concurrency.working():
        assert not await _is_held_back(concurrency)
        concurrency.fetched(1, asked=100)
        assert await _is_held_back(concurrency)


async def test_a_batch_that_takes_long_holds_no_other_back() -> None:
    """A handler that waits for a foreign service must not stop all webhooks."""
    concurrency = Concurrency(late_seconds=0.001)
    with concurrency.working():
        async with asyncio.timeout(NEVER):
            await concurrency.wants_one_more()


async def test_one_that_was_late_makes_no_room_for_two_that_are_not() -> None:
    """After a stall it is one at a time again: a loop that ends lets none in while another one works."""
    concurrency = Concurrency(late_seconds=NEVER)
    with concurrency.working():
        with concurrency.working():
            assert await _is_held_back(concurrency)
        assert await _is_held_back(concurrency)
    assert not await _is_held_back(concurrency)


async def test_the_first_loop_never_waits() -> None:
    """No loop works, so the one that asks begins, also after a loop whose batch failed."""
    concurrency = Concurrency(late_seconds=NEVER)
    assert not await _is_held_back(concurrency)
    with pytest.raises(ZeroDivisionError), concurrency.working():
        raise ZeroDivisionError
    assert not await _is_held_back(concurrency)


async def _waits_to_go_after(concurrency: Concurrency, batches_ended: int) -> bool:
    """Whether a side worker that asks now waits."""
    try:
        async with asyncio.timeout(0):
            await concurrency.has_gone_first(batches_ended)
    except TimeoutError:
        return True
    return False


async def test_in_a_backlog_a_side_loop_waits_for_one_batch_of_the_others() -> None:
    """And where there is none it does not wait."""
    concurrency = Concurrency(late_seconds=NEVER)
    assert not await _waits_to_go_after(concurrency, concurrency.batches_ended)
    concurrency.fetched(100, asked=100)
    before = concurrency.batches_ended
    with concurrency.working():
        assert await _waits_to_go_after(concurrency, before)
    assert not await _waits_to_go_after(concurrency, before)


async def test_a_side_loop_goes_on_when_the_backlog_ends() -> None:
    """The fetch that brings less than it asked for says so."""
    concurrency = Concurrency(late_seconds=NEVER)
    concurrency.fetched(100, asked=100)
    async with asyncio.timeout(NEVER / 2), asyncio.TaskGroup() as group:
        group.create_task(concurrency.has_gone_first(concurrency.batches_ended))
        await asyncio.sleep(0)
        concurrency.fetched(0, asked=100)
