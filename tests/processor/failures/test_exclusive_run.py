"""One that may end the process runs while the loops have nothing else in hand."""

import asyncio

from processor.failures.exclusive_run import ExclusiveRun
from processor.worker.worker import Worker
from sluice.contract.event import StripeEvent
from sluice.registry import Transaction, handles
from tests.processor.consumer.test_consumer import HandStream, consumer_of
from tests.processor.harness import Harness, Message, event, write_effect
from tests.waiting import until


async def test_one_waits_until_the_other_lanes_have_ended_and_keeps_them_from_fetching() -> None:
    """Its own loop, which has messages in hand too, is not waited for."""
    exclusive_run = ExclusiveRun()
    ended, alone = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        with exclusive_run.working():
            await ended.wait()

    async def be_alone() -> None:
        with exclusive_run.working():
            async with exclusive_run.exclusive():
                alone.set()
                assert exclusive_run.fetching.locked()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(work())
        await asyncio.sleep(0)
        group.create_task(be_alone())
        await until(exclusive_run.fetching.locked)
        assert not alone.is_set()
        ended.set()
    assert alone.is_set()
    assert not exclusive_run.fetching.locked()


async def test_two_that_want_to_be_alone_do_not_wait_for_each_other() -> None:
    """Each loop has one; they run one after the other, or the second one beside the rest."""
    exclusive_run = ExclusiveRun()
    both = asyncio.Barrier(2)
    running: list[int] = []

    async def be_alone(number: int) -> None:
        with exclusive_run.working():
            await both.wait()
            async with exclusive_run.exclusive():
                running.append(number)

    async with asyncio.timeout(1.5), asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(be_alone(number))
    assert sorted(running) == [0, 1]


async def test_one_that_hangs_does_not_keep_the_lanes_for_itself() -> None:
    """The one after it is not alone: they have as long for themselves."""
    exclusive_run = ExclusiveRun()
    async with exclusive_run.exclusive():
        await asyncio.sleep(0.2)  # the time that it takes
    async with exclusive_run.exclusive():
        assert not exclusive_run.fetching.locked()


async def test_a_known_starter_runs_after_its_neighbours_and_alone(harness: Harness) -> None:
    """Its row says that a run of it began and never ended."""
    runs: list[str] = []
    worker: list[Worker] = []

    @handles("test.starts", registry=harness.registry)
    async def start(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        runs.append(of.stripe_event_id)
        assert worker[0].exclusive_run.fetching.locked() is (of.stripe_event_id == starter.event.stripe_event_id)

    starter, *others = await harness.recorded(*(event("test.starts") for _ in range(3)))
    await harness.set_row(starter.event, "solo_starts = 1")
    worker.append(harness.worker())
    await worker[0].take([message.again().incoming() for message in (starter, *others)])
    assert runs[-1] == starter.event.stripe_event_id
    assert set((await harness.effects()).values()) == {1}
    assert len(runs) == 3


async def test_a_message_of_a_known_starter_that_is_new_runs_last_too(harness: Harness) -> None:
    """The relay published it again; those behind it in the same fetch were tried before and do not wait for it."""
    runs: list[str] = []

    @handles("test.starts", registry=harness.registry)
    async def start(of: StripeEvent, _: Transaction) -> None:
        runs.append(of.stripe_event_id)

    starter, fresh, tried = (event("test.starts") for _ in range(3))
    await harness.record(starter, fresh)
    await harness.record(tried, attempts=1)
    await harness.set_row(starter, "solo_starts = 1")
    await harness.take(Message(starter), Message(fresh), Message(tried, attempt=1))
    assert runs == [fresh.stripe_event_id, tried.stripe_event_id, starter.stripe_event_id]


async def test_a_consumers_lanes_are_those_that_solitude_knows(harness: Harness) -> None:
    """A loop at work keeps the lock's holder waiting; a fetch waits for the lock."""
    running, may_end = asyncio.Event(), asyncio.Event()

    @handles("test.waits", registry=harness.registry)
    async def wait(_: StripeEvent, __: Transaction) -> None:
        running.set()
        await may_end.wait()

    stream = HandStream(*await harness.recorded(event("test.waits")))
    consumer = consumer_of(harness, stream)
    entered = asyncio.Event()

    async def be_alone() -> None:
        async with consumer.worker.exclusive_run.exclusive():
            entered.set()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(consumer.run_once())
        await running.wait()
        group.create_task(be_alone())
        await until(consumer.worker.exclusive_run.fetching.locked)
        assert not entered.is_set()
        may_end.set()
