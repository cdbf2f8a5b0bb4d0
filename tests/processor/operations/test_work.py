"""One process of all works, rehearsals first, and gives way to webhooks."""

import asyncio
from dataclasses import dataclass, field

import pytest

from processor.failures.retry_policy import Schedule
from processor.operations.rehearse import Rehearsals
from processor.operations.work import Work
from processor.worker.dispatcher import Dispatcher
from processor.worker.transaction import Processor
from sluice.inbox.operations import Decision
from sluice.inbox.states import State
from sluice.operations import book, rehearsals
from sluice.operations.filters import Filter
from sluice.operations.handlers import handler_run
from sluice.operations.verbs import Verb
from tests.processor.harness import Harness, event

NAME = "tests.processor.harness.write_effect"


@dataclass
class Unhurried(Work):
    """It notes its rests instead of taking them."""

    rests: list[float] = field(default_factory=list)

    async def _pause(self, seconds: float) -> None:
        self.rests.append(seconds)


def work_of(harness: Harness) -> Unhurried:
    """A process's work, on the harness's database."""
    processor = Processor(harness.database, Dispatcher(harness.registry))
    answering = Rehearsals(harness.database, processor, Schedule(), harness.registry)
    return Unhurried(harness.database, harness.registry, processor, answering, processor.limits, asyncio.Event())


async def asked(harness: Harness, count: int, *, rate: int | None = None) -> int:
    """An operation over so many webhooks."""
    events = [event() for _ in range(count)]
    await harness.record(*events)
    await harness.database.execute("UPDATE webhook_logs SET processed = true, processed_at = now() - interval '1 day'")
    await harness.database.execute(
        "INSERT INTO webhook_handler (name, types, organiser_types, acts_outside)"
        " VALUES ($1, '{test.effect}', '{}', false)",
        NAME,
    )
    async with harness.database.acquire() as connection:
        run = await handler_run(connection, NAME)
        return await book.start(
            connection, Verb.REPLAY, Filter(types=["*"]), Decision("ada", "new"), run=run, rate=rate
        )


@pytest.mark.parametrize(("rate", "taken"), [(20, 5), (2, 1), (None, 50)])
async def test_a_step_is_followed_by_a_rest(rate: int | None, taken: int, harness: Harness) -> None:
    """As long as the rate asks for; without one, no shorter than the step, so that webhooks come first."""
    await asked(harness, 60, rate=rate)
    work = work_of(harness)
    clock = asyncio.get_running_loop()
    began = clock.time()
    assert await work.run_once()
    took = clock.time() - began
    assert len(await harness.effects()) == taken
    [rest] = work.rests
    if rate is None:
        assert 0 < rest <= took
    else:
        assert max(0.0, taken / rate - took) <= rest <= taken / rate


async def test_a_rehearsal_goes_before_an_operation(harness: Harness) -> None:
    """A person waits for it."""
    await asked(harness, 1)
    async with harness.database.acquire() as connection:
        chosen = Filter(types=["*"], states=[State.PROCESSED])
        number = await rehearsals.ask(connection, Verb.REPLAY, chosen, "ada")
        work = work_of(harness)
        assert await work.run_once()
        rehearsal = await rehearsals.read(connection, number)
    assert rehearsal is not None
    assert rehearsal.diff is not None
    assert await harness.effects() == {}
    assert await work.run_once()
    assert len(await harness.effects()) == 1


async def test_a_question_that_is_old_is_not_answered(harness: Harness) -> None:
    """Its asker has gone."""
    async with harness.database.acquire() as connection:
        await rehearsals.ask(connection, Verb.REPLAY, Filter(types=["*"]), "ada")
    await harness.database.execute("UPDATE webhook_rehearsal SET asked_at = now() - interval '11 minutes'")
    assert not await work_of(harness).run_once()


async def test_a_second_process_finds_the_seat_taken(harness: Harness) -> None:
    """Until the first one has ended."""
    first, second = work_of(harness), work_of(harness)
    running = asyncio.create_task(first.run())
    while not first.rests:
        await asyncio.sleep(0)
    assert not await second.run()
    first.stop.set()
    assert await running
    second.stop.set()
    assert await second.run()
