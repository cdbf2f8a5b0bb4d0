"""One handler runs over stored webhooks: each once, whatever fails, and the others go on."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from processor.operations.halving import Interrupted
from processor.operations.handler_run import QUERIES, HandlerRun, Over
from processor.operations.supervisor import QUERIES as SUPERVISOR
from processor.worker.dispatcher import Dispatcher
from processor.worker.transaction import Limits
from sluice import Applied, Ignored, Outcome, Parked, StripeEvent, Transaction
from sluice.inbox.operations import Decision
from sluice.inbox.pauses import Kind
from sluice.operations import book, pauses
from sluice.operations.filters import Filter
from sluice.operations.handlers import handler_run
from sluice.operations.pauses import Target
from sluice.operations.verbs import Verb
from sluice.postgres.pool import Connection
from sluice.registry import Registry, handles, handles_batch
from tests.processor.harness import Harness, event, write_effect

NAME = "shop.points"


async def started(harness: Harness, count: int, *, rate: int | None = None) -> tuple[int, list[str]]:
    """An operation over so many processed webhooks, and their keys."""
    events = [event(event_id=f"evt_{number:02}") for number in range(count)]
    await harness.record(*events)
    await harness.database.execute(
        "UPDATE webhook_logs SET processed = true, outcome = 'ignored', processed_at = now() - interval '1 day'"
    )
    await harness.database.execute(
        "INSERT INTO webhook_handler (name, types, organiser_types, acts_outside)"
        " VALUES ($1, '{test.effect}', '{}', false) ON CONFLICT DO NOTHING",
        NAME,
    )
    async with harness.database.acquire() as connection:
        run = await handler_run(connection, NAME)
        number = await book.start(
            connection, Verb.REPLAY, Filter(types=["*"]), Decision("ada", "points are new"), run=run, rate=rate
        )
    return number, [each.stripe_event_id for each in events]


def run_of(harness: Harness, number: int, registry: Registry, **options: Any) -> HandlerRun:
    """One process's part of it."""
    limits = Limits(transaction_seconds=2, lock_seconds=0.2)
    return HandlerRun(harness.database, Dispatcher(registry, handler_seconds=1), limits, number, None, **options)


async def finish(run: HandlerRun) -> None:
    """Go on until it is over."""
    with pytest.raises(Over):
        await _go_on(run)


async def _go_on(run: HandlerRun) -> None:
    for _ in range(100):
        await run.step()


async def results(harness: Harness, number: int) -> Mapping[str, book.Item]:
    """Items by their id."""
    async with harness.database.acquire() as connection:
        items = await book.items_of(connection, number, at_most=999)
        assert not await connection.fetch("SELECT FROM operation_start")
    return {item.item_id: item for item in items}


def words(items: Mapping[str, book.Item]) -> Mapping[str | None, int]:
    """How many have each result."""
    return Counter(item.result for item in items.values())


async def test_each_webhook_has_its_effect_and_its_item(harness: Harness) -> None:
    """And the operation ends; another run finds nothing."""
    number, keys = await started(harness, 120)
    await finish(run_of(harness, number, harness.registry))
    assert await harness.effects() == dict.fromkeys(keys, 1)
    items = await results(harness, number)
    assert words(items) == {"changed": 120}
    assert items[keys[0]].after == {"state": "processed", "outcome": "applied"}
    await finish(run_of(harness, number, harness.registry))
    assert await harness.effects() == dict.fromkeys(keys, 1)


async def test_a_webhook_that_fails_says_so_and_the_others_go_on(harness: Harness) -> None:
    """With the error; what it wrote is undone."""
    number, keys = await started(harness, 20)

    @handles("test.effect", registry=(registry := Registry()))
    async def fail_at_seven(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        if of.stripe_event_id.endswith("7"):
            raise KeyError(of.stripe_event_id)

    await finish(run_of(harness, number, registry))
    items = await results(harness, number)
    assert words(items) == {"changed": 18, "failed": 2}
    after = items["evt_07"].after
    assert after is not None
    assert str(after["error"]).startswith("KeyError in handler ")
    assert await harness.effects() == {key: 1 for key in keys if not key.endswith("7")}


async def test_what_is_ignored_is_unfit_and_what_waits_has_failed(harness: Harness) -> None:
    """A webhook that waits for a row would write again with each look."""
    number, _ = await started(harness, 3)

    @handles_batch("test.effect", registry=(registry := Registry()))
    async def sort(events: Sequence[StripeEvent], tx: Transaction) -> Mapping[str, Outcome]:
        for of in events:
            await write_effect(of, tx)
        fates: Mapping[str, Outcome] = {"evt_00": Ignored("too old"), "evt_01": Parked("row 7"), "evt_02": Applied()}
        return {of.stripe_event_id: fates[of.stripe_event_id] for of in events}

    await finish(run_of(harness, number, registry))
    items = await results(harness, number)
    assert [items[key].result for key in sorted(items)] == ["unfit", "failed", "changed"]
    assert items["evt_00"].after == {"state": "processed", "outcome": "ignored", "reason": "too old"}
    assert await harness.effects() == {"evt_00": 1, "evt_02": 1}


async def test_a_webhook_that_is_not_processed_any_more_is_left_to_its_course(harness: Harness) -> None:
    """All handlers will have it."""
    number, _ = await started(harness, 2)
    await harness.database.execute("UPDATE webhook_logs SET processed = false WHERE stripe_event_id = 'evt_00'")
    await harness.database.execute("DELETE FROM webhook_logs WHERE stripe_event_id = 'evt_01'")
    await finish(run_of(harness, number, harness.registry))
    items = await results(harness, number)
    assert [items[key].result for key in sorted(items)] == ["unfit", "missing"]
    assert await harness.effects() == {}


async def test_two_processes_share_an_operation(harness: Harness) -> None:
    """Should both believe that they have the seat."""
    number, keys = await started(harness, 150)
    runs = [run_of(harness, number, harness.registry) for _ in range(2)]
    await asyncio.gather(*(finish(run) for run in runs))
    assert await harness.effects() == dict.fromkeys(keys, 1)
    assert words(await results(harness, number)) == {"changed": 150}


async def test_a_cancelled_operation_changes_nothing_more(harness: Harness) -> None:
    """The items that are done stay done."""
    number, _ = await started(harness, 120)
    run = run_of(harness, number, harness.registry)
    assert await run.step() == 50
    async with harness.database.acquire() as connection:
        assert await book.cancel(connection, number, "ada")
    with pytest.raises(Over):
        await run.step()
    assert len(await harness.effects()) == 50


async def test_a_handler_that_loses_its_connection_is_given_up_and_the_others_go_on(harness: Harness) -> None:
    """After three runs alone; each time the run is interrupted."""
    number, _ = await started(harness, 3)

    @handles("test.effect", registry=(registry := Registry()))
    async def end_its_backend(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        if of.stripe_event_id == "evt_01":
            await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    interruptions = 0
    for _ in range(30):
        try:
            await run_of(harness, number, registry).step()
        except Over:
            break
        except Interrupted:
            interruptions += 1
    items = await results(harness, number)
    assert [items[key].result for key in sorted(items)] == ["changed", "failed", "changed"]
    assert "in 4 runs of this webhook" in str(items["evt_01"].after)
    assert interruptions == 4
    assert await harness.effects() == {"evt_00": 1, "evt_02": 1}


async def test_a_webhook_whose_lock_another_holds_has_another_turn(harness: Harness) -> None:
    """And its neighbours do not wait for it."""
    number, keys = await started(harness, 10)
    await harness.database.execute("CREATE TABLE lockable (id text PRIMARY KEY)")
    await harness.database.execute("INSERT INTO lockable VALUES ('evt_03')")

    @handles("test.effect", registry=(registry := Registry()))
    async def lock(of: StripeEvent, tx: Transaction) -> None:
        await tx.fetch("SELECT FROM lockable WHERE id = $1 FOR UPDATE", of.stripe_event_id)
        await write_effect(of, tx)

    run = run_of(harness, number, registry)
    async with harness.database.acquire() as other, other.transaction():
        await other.fetch("SELECT FROM lockable FOR UPDATE")
        await run.step()
        assert await harness.effects() == {key: 1 for key in keys if key != "evt_03"}
    await finish(run)
    assert await harness.effects() == dict.fromkeys(keys, 1)


@pytest.mark.parametrize(
    ("pause", "may_run"),
    [
        (Target(Kind.ALL), False),
        (Target(Kind.HANDLER, NAME), False),
        (Target(Kind.HANDLER, "shop.mail"), True),
        (Target(Kind.TYPE, "test.*"), True),
    ],
    ids=str,
)
async def test_a_run_waits_while_its_handler_is_paused(harness: Harness, pause: Target, may_run: bool) -> None:
    """Neither does a process go on with it, nor is one started for it, until the pause has ended."""
    number, _ = await started(harness, 3)
    async with harness.database.acquire() as connection:
        pause_id = await pauses.begin(connection, pause, Decision("ada", "it pays twice"))
        assert await _is_offered(connection, number) is may_run
        await pauses.end(connection, [pause_id], Decision("ada", "mended"))
        assert await _is_offered(connection, number)


async def _is_offered(connection: Connection, number: int) -> bool:
    offered = await connection.fetch(QUERIES["read_open"], [NAME])
    wanted = await connection.fetchval(SUPERVISOR["look"], [NAME])
    assert bool(offered) is wanted
    return number in [row["id"] for row in offered]
