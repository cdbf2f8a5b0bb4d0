"""A process beside the processor carries out what operators ask for; the processor survives whatever that does."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import psutil
import pytest
import pytest_asyncio

from sluice.inbox.operations import Decision
from sluice.inbox.states import State
from sluice.operations import book, rehearsals
from sluice.operations.filters import Filter
from sluice.operations.handlers import handler_run, known_handlers
from sluice.operations.rehearsals import Rehearsal
from sluice.operations.verbs import Verb
from sluice.postgres.pool import Connection, Database
from tests.processor.harness import Harness, event
from tests.processor.processes import Processes
from tests.waiting import until

EFFECT = "tests.processor.harness.write_effect"
_PROCESSED = (State.PROCESSED,)
MISBEHAVING = "tests.processor.misbehaving"


@pytest.fixture
def processes(harness: Harness, role_url: Callable[[str], str]) -> Processes:
    """Processors with the processor's role, without NATS."""
    return Processes(harness, None, role_url("processor"), "")


@pytest_asyncio.fixture
async def operator(harness: Harness, database_url: str) -> AsyncIterator[Connection]:
    """A connection with the rights of an operator alone; handlers' tables are the processor's."""
    await harness.database.execute("GRANT INSERT ON effect TO sluice_processor")
    async with (
        Database.connect(database_url, application_name="operator") as database,
        database.acquire() as connection,
    ):
        await connection.execute("SET ROLE sluice_operator")
        yield connection
        await connection.execute("RESET ROLE")


async def history(harness: Harness, count: int, event_type: str = "test.effect") -> list[str]:
    """So many processed webhooks; their keys."""
    events = [event(event_type, event_id=f"evt_{number:04}") for number in range(count)]
    await harness.record(*events)
    await harness.database.execute(
        "UPDATE webhook_logs SET processed = true, outcome = 'applied', processed_at = now() - interval '1 day'"
    )
    return [each.stripe_event_id for each in events]


async def start(operator: Connection, name: str) -> int:
    """Ask for a run of a handler, once a processor has said that it has it."""

    async def is_known() -> bool:
        return name in {handler.name for handler in await known_handlers(operator)}

    await until(is_known, within_seconds=30)
    run = await handler_run(operator, name)
    return await book.start(operator, Verb.REPLAY, Filter(types=["*"]), Decision("ada", "it is new"), run=run)


def has_ended(operator: Connection, number: int) -> Callable[[], Awaitable[bool]]:
    """Whether the operation is done."""

    async def is_done() -> bool:
        operation = await book.read(operator, number)
        return operation is not None and operation.ended_at is not None

    return is_done


async def results(operator: Connection, number: int) -> Mapping[str | None, int]:
    """How many items have each result."""
    return Counter(item.result for item in await book.items_of(operator, number, at_most=9_999))


def workers_of(processor: asyncio.subprocess.Process) -> list[psutil.Process]:
    """Processes that it has started."""
    return psutil.Process(processor.pid).children()


async def test_an_operator_without_rights_on_its_tables_has_a_handler_run(
    harness: Harness, processes: Processes, operator: Connection
) -> None:
    """Each webhook has its effect once, by a process that is the processor's own."""
    keys = await history(harness, 120)
    async with processes.processor():
        number = await start(operator, EFFECT)
        await until(has_ended(operator, number), within_seconds=60)
    assert await harness.effects() == dict.fromkeys(keys, 1)
    assert await results(operator, number) == {"changed": 120}


async def test_a_killed_processor_is_followed_by_another_and_no_effect_is_there_twice(
    harness: Harness, processes: Processes, operator: Connection
) -> None:
    """Its process goes with it, in the middle of the run."""
    keys = await history(harness, 400)
    async with processes.processor() as first:
        number = await start(operator, EFFECT)

        async def is_under_way() -> bool:
            return len(await harness.effects()) >= 50

        await until(is_under_way, within_seconds=60)
        workers = workers_of(first)
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
        await until(lambda: _are_gone(workers), within_seconds=20)
    done = len(await harness.effects())
    assert 50 <= done < 400
    async with processes.processor():
        await until(has_ended(operator, number), within_seconds=90)
    assert await harness.effects() == dict.fromkeys(keys, 1)
    assert await results(operator, number) == {"changed": 400}


@pytest.mark.parametrize(
    ("event_type", "handler"), [("test.kills_some", "kill_at_seven"), ("test.blocks_some", "block_at_seven")]
)
async def test_a_webhook_that_ends_or_blocks_its_process_takes_none_with_it(
    event_type: str, handler: str, harness: Harness, processes: Processes, operator: Connection
) -> None:
    """The processor lives, the others have their effect, and the item says what happened."""
    keys = await history(harness, 12, event_type)
    async with processes.processor(SOLO_STARTS="1") as processor:
        number = await start(operator, f"{MISBEHAVING}.{handler}")
        await until(has_ended(operator, number), within_seconds=100)
        assert processor.returncode is None
    items = {item.item_id: item for item in await book.items_of(operator, number, at_most=99)}
    assert await results(operator, number) == {"changed": 11, "failed": 1}
    assert "its process ended" in str(items["evt_0007"].after)
    assert await harness.effects() == {key: 1 for key in keys if key != "evt_0007"}


async def test_a_rehearsal_is_answered_and_one_that_ends_its_process_is_refused(
    harness: Harness, processes: Processes, operator: Connection
) -> None:
    """The refusal names the webhook."""
    await history(harness, 2)
    async with processes.processor():
        number = await rehearsals.ask(operator, Verb.REPLAY, Filter(ids=["evt_0000"], states=_PROCESSED), "ada")
        answered = await _answer(operator, number)
        assert answered.diff is not None
        assert [(one.state, one.outcome) for one in answered.diff.webhooks] == [("processed", "applied")]
        assert [(one.table, one.inserted) for one in answered.diff.tables] == [("effect", 1)]
        await harness.database.execute("UPDATE webhook_logs SET webhook_type = 'test.kills'")
        number = await rehearsals.ask(operator, Verb.REPLAY, Filter(types=["*"], states=_PROCESSED), "ada")
        refused = await _answer(operator, number)
        assert refused.diff is None
        assert "evt_0000 ran then" in str(refused.problem)
    assert await harness.effects() == {}


async def test_a_stop_ends_both(harness: Harness, processes: Processes, operator: Connection) -> None:
    """Whatever is left goes on after the next start."""
    await history(harness, 2000)
    async with processes.processor() as processor:
        number = await start(operator, EFFECT)

        async def is_under_way() -> bool:
            return len(await harness.effects()) >= 50

        await until(is_under_way, within_seconds=60)
        workers = workers_of(processor)
        processor.terminate()
        assert await asyncio.wait_for(processor.wait(), 10) == 0
        await until(lambda: _are_gone(workers), within_seconds=10)
    assert len(await harness.effects()) == (await results(operator, number))["changed"]
    assert not await harness.database.fetch("SELECT FROM operation_start")


async def _answer(operator: Connection, number: int) -> Rehearsal:
    rehearsal = await rehearsals.answer(operator, number, within_seconds=60)
    assert rehearsal is not None
    return rehearsal


async def _are_gone(workers: list[psutil.Process]) -> bool:
    assert workers
    return not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
