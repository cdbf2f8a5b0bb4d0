"""Whatever a handler does with its cancellation is a failed attempt of its own event, and the consumer goes on."""

import asyncio

import pytest

from processor.failures.retry_policy import Schedule
from sluice.contract.event import StripeEvent
from sluice.registry import Transaction, handles
from sluice.transaction import TransactionOver
from tests.processor.harness import Harness, event, flat, write_effect
from tests.processor.misbehaving import FAILING, STRAYING, with_misbehaving

SAID = {
    "test.raise_cancelled": "HandlerCancelled",
    "test.cancel_itself": "HandlerCancelled",
    "test.await_the_cancelled": "HandlerCancelled",
    "test.swallow_and_go_on": "HandlerEscaped",
    "test.exit_the_system": "SystemExit",
    "test.interrupt": "KeyboardInterrupt",
    "test.exit_a_generator": "GeneratorExit",
    "test.raise_a_group": "BaseExceptionGroup",
    "test.leave_a_task_behind": "TaskLeftBehind",
}


@pytest.fixture
def misbehaving(harness: Harness) -> Harness:
    """A harness with every bad handler."""
    with_misbehaving(harness.registry)
    harness.handler_seconds = 0.3
    harness.schedule = Schedule(spread=flat(60))
    return harness


@pytest.mark.parametrize("event_type", [*FAILING, *STRAYING])
async def test_it_is_one_failed_attempt_of_that_event(misbehaving: Harness, event_type: str) -> None:
    """Its neighbours take effect, it takes none, its row says why, and this very task goes on."""
    bad, *fine = await misbehaving.recorded(event(event_type), event(), event())
    async with asyncio.timeout(30):
        await misbehaving.take(bad, *fine)
    row = await misbehaving.row(bad.event)
    assert (row["processing_attempts"], row["processed"], row["outcome"]) == (1, False, "failed")
    assert SAID.get(event_type, "TimeoutError: the time budget was used up") in row["last_error"]
    assert await misbehaving.effects() == {message.event.stripe_event_id: 1 for message in fine}
    assert all(message.is_acknowledged for message in (bad, *fine))
    assert not _ours().cancelling()


async def test_a_handler_that_goes_on_writes_nothing_any_more(misbehaving: Harness) -> None:
    """Its connection is gone, so what it writes afterwards is in no transaction."""
    [bad] = await misbehaving.recorded(event("test.swallow_and_go_on"))
    await misbehaving.take(bad)
    again = await misbehaving.recorded(*(event() for _ in range(5)))
    await misbehaving.take(*again)
    assert await misbehaving.effects() == {message.event.stripe_event_id: 1 for message in again}


async def test_a_cancellation_of_the_consumer_itself_is_obeyed(misbehaving: Harness) -> None:
    """A drain that took too long ends the handler with it, and no attempt is counted."""
    has_begun = asyncio.Event()

    @handles("test.waits", registry=misbehaving.registry)
    async def wait(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        has_begun.set()
        await asyncio.Event().wait()

    misbehaving.handler_seconds = 30
    [message] = await misbehaving.recorded(event("test.waits"))
    taking = asyncio.create_task(misbehaving.take(message))
    await has_begun.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    row = await misbehaving.row(message.event)
    assert (row["processing_attempts"], message.is_acknowledged) == (0, False)
    assert await misbehaving.effects() == {}


async def test_a_long_statement_that_a_handler_left_behind_is_cancelled(misbehaving: Harness) -> None:
    """It holds no row for longer than its transaction; the neighbours take effect at once."""
    strays: list[asyncio.Task[str]] = []

    @handles("test.leaves_a_long_one", registry=misbehaving.registry)
    async def leave_a_long_one(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        strays.append(asyncio.ensure_future(tx.execute("SELECT pg_sleep(60)")))
        await asyncio.sleep(0)

    bad, fine = await misbehaving.recorded(event("test.leaves_a_long_one"), event())
    async with asyncio.timeout(30):
        await misbehaving.take(bad, fine)
    assert "TaskLeftBehind" in (await misbehaving.row(bad.event))["last_error"]
    assert await misbehaving.effects() == {fine.event.stripe_event_id: 1}
    assert {stray.cancelled() for stray in strays} == {True}


async def test_a_task_that_begins_later_finds_the_transaction_closed(misbehaving: Harness) -> None:
    """It writes nothing, neither into its own event's transaction nor into another's, and harms no other."""
    may_begin, refused = asyncio.Event(), asyncio.Event()

    @handles("test.leaves_one_for_later", registry=misbehaving.registry)
    async def leave_one_for_later(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        strays.append(asyncio.create_task(write_later(of, tx)))

    @handles("test.takes_a_moment", registry=misbehaving.registry)
    async def let_it_begin(of: StripeEvent, tx: Transaction) -> None:
        may_begin.set()
        await refused.wait()
        await write_effect(of, tx)

    async def write_later(of: StripeEvent, tx: Transaction) -> None:
        await may_begin.wait()
        with pytest.raises(TransactionOver):
            await write_effect(of, tx)
        refused.set()

    strays: list[asyncio.Task[None]] = []
    messages = await misbehaving.recorded(event("test.leaves_one_for_later"), event("test.takes_a_moment"))
    await misbehaving.take(*messages)
    await asyncio.gather(*strays)
    assert await misbehaving.effects() == {message.event.stripe_event_id: 1 for message in messages}


@pytest.mark.parametrize("sqlstate", ["55P03", "57014", "40001", "40P01", "53300", "08006"])
async def test_a_fault_of_a_handlers_own_connection_is_its_own_attempt(harness: Harness, sqlstate: str) -> None:
    """Our transaction is sound, so a lock or conflict elsewhere is no reason to postpone the event for ever."""

    @handles("test.elsewhere", registry=harness.registry)
    async def elsewhere(_: StripeEvent, __: Transaction) -> None:
        async with harness.database.acquire() as own:
            await own.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END $$")

    bad, fine = await harness.recorded(event("test.elsewhere"), event())
    await harness.take(bad, fine)
    row = await harness.row(bad.event)
    assert (row["processing_attempts"], row["outcome"], row["postponed_at"]) == (1, "failed", None)
    assert sqlstate in row["last_error"]
    assert await harness.effects() == {fine.event.stripe_event_id: 1}


async def test_a_lock_of_another_on_our_own_connection_is_postponed_still(harness: Harness) -> None:
    """There the transaction is lost with it, and no event is to blame."""

    @handles("test.locks", registry=harness.registry)
    async def lock(_: StripeEvent, tx: Transaction) -> None:
        await tx.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '55P03'; END $$")

    [message] = await harness.recorded(event("test.locks"))
    await harness.take(message)
    assert (await harness.row(message.event))["processing_attempts"] == 0


def _ours() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None
    return task
