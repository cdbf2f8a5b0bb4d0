"""Bad handlers run apart, for a while, at no cost to the others."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from processor.bulkhead.fair_share import LEAST_ROOM
from processor.bulkhead.quarantine import FIRST_SECONDS, LONGEST_SECONDS, Fault, Quarantine
from processor.bulkhead.quiet_parties import QuietParties
from processor.bulkhead.routing import Routing
from processor.bulkhead.side_worker import SideWorker, is_heavy
from processor.failures.classify import HandlerFailed
from processor.outcome import Work
from processor.queue.deferral import Deferral
from processor.queue.direct import Direct
from processor.queue.leases import Leases
from processor.worker import blocked_loop
from processor.worker.batch import BATCH_BYTES, BATCH_FACTS, plan
from processor.worker.dispatcher import Dispatcher
from processor.worker.reporter import Reporter
from processor.worker.transaction import Limits, Processor
from processor.worker.worker import Worker
from sluice.contract.event import StripeEvent
from sluice.failures import TooManyFacts
from sluice.outcomes import Outcome
from sluice.registry import Transaction, handles, handles_batch
from tests.processor.harness import Harness, Message, event, with_effects, write_effect
from tests.processor.misbehaving import hang, leave_a_task_behind


def work_of(one: StripeEvent, *, deliveries: int = 1) -> Work:
    """A message about an event."""
    return Work(one, 0, Message(one, deliveries=deliveries).incoming())


def isolation_of(harness: Harness, *, most: int = 1_000) -> Routing:
    """Workers beside the others; all of them by hand, and in this event loop."""
    deferral = Deferral(harness.database)
    slow, blocking, heavy = (
        SideWorker(harness.worker(), deferral, harness.stop, Leases(Direct(harness.database), 30), most=most)
        for _ in range(3)
    )
    reporter = Reporter(harness.errors, harness.registry.types)
    return Routing(harness.registry, Quarantine(), reporter, slow, blocking, heavy, QuietParties(harness.database))


def dispatcher_of(worker: Worker) -> Dispatcher:
    """The dispatcher that calls its handlers."""
    assert isinstance(worker.processor, Processor)
    return worker.processor.dispatcher


def turns_of(harness: Harness, routing: Routing) -> Worker:
    """The turns of a worker that sorts out."""
    worker = harness.worker()
    blocked_loop = dispatcher_of(worker).blocked_loop
    blocked_loop.on_blocking = routing.blocked
    return replace(worker, routing=routing, blocked_loop=blocked_loop)


class Clock:
    """Time that a test moves."""

    now = 1_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_sentence_doubles_and_is_forgotten() -> None:
    """A minute, two when it happens again soon, an hour at most; a clean record after as long without a fault."""
    clock = Clock()
    quarantine = Quarantine(clock)
    assert quarantine.accuse("harness.pay", Fault.SLOW) == FIRST_SECONDS
    assert quarantine.accuse("harness.pay", Fault.SLOW) == 0
    assert quarantine.fault_of(["harness.pay"]) is Fault.SLOW
    clock.now += FIRST_SECONDS + 1
    assert quarantine.fault_of(["harness.pay"]) is None
    assert quarantine.accuse("harness.pay", Fault.SLOW) == 2 * FIRST_SECONDS
    for _ in range(10):
        clock.now = max(clock.now, quarantine._sentences["harness.pay"].until) + 1
        longest = quarantine.accuse("harness.pay", Fault.SLOW)
    assert longest == LONGEST_SECONDS
    clock.now += 2 * LONGEST_SECONDS + 1
    assert quarantine.accuse("harness.pay", Fault.SLOW) == FIRST_SECONDS


def test_blocking_outweighs_slow_and_sluices_own_stay() -> None:
    """A blocking handler goes to the thread, whatever else it did; the ledger would take nearly every event with it."""
    quarantine = Quarantine()
    assert quarantine.accuse("processor.payments.ledger.apply_facts", Fault.BLOCKING) == 0
    quarantine.accuse("harness.pay", Fault.SLOW)
    assert quarantine.accuse("harness.pay", Fault.BLOCKING) > 0
    quarantine.accuse("harness.pay", Fault.SLOW)
    assert quarantine.fault_of(["processor.payments.ledger.apply_facts", "harness.pay"]) is Fault.BLOCKING


async def test_a_handler_that_leaves_a_task_at_work_runs_apart(harness: Harness) -> None:
    """It shares no transaction with others again."""
    handles("test.leaves", registry=harness.registry)(leave_a_task_behind)
    isolation = isolation_of(harness)
    messages = await harness.recorded(event("test.leaves"), event("test.leaves"))
    turns = turns_of(harness, isolation)
    for message in messages:
        await turns.take([message.incoming()])
    assert list(isolation.status().values()) == ["slow"]
    for _ in messages:
        await isolation.slow.run_once()
    assert [(await harness.row(one.event))["processing_attempts"] for one in messages] == [1, 1]


async def test_a_handler_that_hangs_costs_its_neighbours_one_time_limit_and_no_halving(harness: Harness) -> None:
    """It is handed over, the rest of the batch runs at once, and the next event of its kind meets no bad handler."""
    handles("test.hang", registry=harness.registry)(hang)
    harness.handler_seconds = 0.3
    routing = isolation_of(harness)
    worker = turns_of(harness, routing)
    bad, *fine = await harness.recorded(event("test.hang"), *(event() for _ in range(40)))
    began = time.monotonic()
    await worker.take([message.incoming() for message in (bad, *fine)])
    assert await harness.effects() == {message.event.stripe_event_id: 1 for message in fine}
    assert time.monotonic() - began < 10
    assert not bad.is_acknowledged
    await routing.slow.run_once()
    row = await harness.row(bad.event)
    assert (row["processing_attempts"], bad.is_acknowledged) == (1, True)
    assert list(routing.status().values()) == ["slow"]
    assert any("runs apart" in row["message"] or "run apart" in row["message"] for row in await harness.error_rows())


@pytest.mark.parametrize("transaction_seconds", [1.25, 10])
async def test_an_event_late_because_another_held_the_loop_keeps_its_attempt(
    harness: Harness, transaction_seconds: float
) -> None:
    """An innocent that was in flight during a block of three time limits runs again: no attempt, no start alone."""
    in_flight, has_blocked = asyncio.Event(), asyncio.Event()
    starts: dict[str, list[int]] = defaultdict(list)
    harness.handler_seconds, harness.limits = 1, Limits(transaction_seconds, lock_seconds=0.5)

    @handles("test.waits", registry=harness.registry)
    async def wait(of: StripeEvent, tx: Transaction) -> None:
        await write_effect(of, tx)
        row = await harness.row(of)
        starts[of.stripe_event_id].append(row["solo_starts"])
        if len(starts) == 2:
            in_flight.set()
        await has_blocked.wait()

    @handles("test.blocks", registry=harness.registry)
    async def block(_: StripeEvent, __: Transaction) -> None:
        await in_flight.wait()
        time.sleep(3)  # noqa: ASYNC251  the fault itself
        asyncio.get_running_loop().call_later(0.2, has_blocked.set)

    worker = turns_of(harness, isolation_of(harness))
    innocent, alone, blocker = await harness.recorded(event("test.waits"), event("test.waits"), event("test.blocks"))
    await asyncio.gather(
        worker.take([innocent.incoming()]), worker.take([alone.again().incoming()]), worker.take([blocker.incoming()])
    )
    for one in (innocent, alone):
        row = await harness.row(one.event)
        assert (row["processed"], row["processing_attempts"], row["solo_starts"]) == (True, 0, 0)
    assert set(starts[innocent.event.stripe_event_id]) == {0}
    assert set(starts[alone.event.stripe_event_id]) == {1}
    assert len(starts[innocent.event.stripe_event_id]) > 1
    assert isinstance(worker.routing, Routing)
    assert list(worker.routing.status().values()) == ["blocking"]


async def test_an_event_whose_lateness_never_ends_is_charged_in_the_end(harness: Harness) -> None:
    """Where others always hold the loop, an event is forgiven three times and no more."""
    handles("test.hang", registry=harness.registry)(hang)
    harness.handler_seconds, harness.limits = 0.2, Limits(transaction_seconds=0.25, lock_seconds=0.1)
    worker = harness.worker()
    worker.blocked_loop._holds.append(
        blocked_loop.Hold("harness.other", frozenset({"evt_other"}), 0, time.monotonic() + 3600)
    )
    [message] = await harness.recorded(event("test.hang"))
    await worker.take([message.incoming()])
    assert (await harness.row(message.event))["processing_attempts"] == 1


async def test_what_does_not_fit_is_left_to_the_relay(harness: Harness) -> None:
    """It gives up its place in the consumer, is due again within seconds, and is charged nothing."""
    routing = isolation_of(harness, most=1)
    routing.quarantine.accuse("tests.processor.harness.write_effect", Fault.SLOW)
    messages = await harness.recorded(event(), event())
    await turns_of(harness, routing).take([message.incoming() for message in messages])
    assert [message.is_acknowledged for message in messages] == [False, True]
    row = await harness.row(messages[1].event)
    assert (row["published_at"], row["processing_attempts"], row["postponed_at"]) == (None, 0, None)
    await routing.slow.run_once()
    assert await harness.effects() == {messages[0].event.stripe_event_id: 1}


async def test_parties_take_turns_in_a_loop_apart(harness: Harness) -> None:
    """Ten events of one organiser do not stand before the first one of another."""
    with_effects(harness.registry, "test.organised", organisers=True)
    routing = isolation_of(harness)
    of = event("test.organised")
    flood = [replace(of, stripe_event_id=f"evt_{n}@7", tenant="7") for n in range(10)]
    other = replace(of, stripe_event_id="evt_0@8", tenant="8")
    await harness.record(*flood, other)
    await routing.heavy.put([work_of(one) for one in (*flood, other)])
    for _ in range(2):
        await routing.heavy.run_once()
    assert await harness.effects() == {"evt_0@7": 1, "evt_0@8": 1}


async def test_one_party_has_a_share_while_there_are_others_and_all_when_there_are_none(harness: Harness) -> None:
    """The platform's own are never held back."""
    routing = isolation_of(harness)
    flood = [work_of(replace(event(), stripe_event_id=f"evt_{n}@7", tenant="7")) for n in range(60)]
    assert len(await routing.sort_out(flood)) == 60
    own = [work_of(event()) for _ in range(60)]
    kept = await routing.sort_out([*flood, *own])
    assert [work.event.tenant for work in kept].count("7") == max(LEAST_ROOM, 120 // 4)
    assert [work.event.tenant for work in kept].count(None) == 60


async def test_a_flood_has_a_share_from_the_first_fetch_on_where_another_waits_behind_it(harness: Harness) -> None:
    """A processor that begins in the middle of a flood has seen no other party; PostgreSQL knows of it."""
    flood = [replace(event(), stripe_event_id=f"evt_{n}@7", tenant="7") for n in range(60)]
    await harness.recorded(*flood, event())
    kept = await isolation_of(harness).sort_out([work_of(one) for one in flood])
    assert len(kept) == LEAST_ROOM


@pytest.mark.parametrize("ended", ["processed = true", "dead_at = now()", "parked_at = now()"])
async def test_what_is_over_or_waits_for_its_row_waits_behind_no_flood(harness: Harness, ended: str) -> None:
    """A lone party goes at full speed beside another's dead webhooks."""
    flood = [replace(event(), stripe_event_id=f"evt_{n}@7", tenant="7") for n in range(60)]
    other = event()
    await harness.recorded(*flood, other)
    await harness.database.execute(
        f"UPDATE webhook_logs SET {ended} WHERE stripe_event_id = $1",  # noqa: S608 - the text is the test's own
        other.stripe_event_id,
    )
    assert len(await isolation_of(harness).sort_out([work_of(one) for one in flood])) == 60


async def test_looks_for_quiet_parties_have_a_twentieth_of_the_time(harness: Harness) -> None:
    """A slow look is followed by a long pause; the next one comes in the end."""
    clock = Clock()
    quiet_parties = QuietParties(harness.database, clock)
    await harness.recorded(event())
    assert await quiet_parties.one_waits(["7"])
    assert not await quiet_parties.one_waits(["7"])
    clock.now += 1
    assert await quiet_parties.one_waits(["7"])


@pytest.mark.parametrize(("body_bytes", "heavy"), [(0, True), (2_000, False), (64 * 1024 + 1, True)])
def test_a_long_body_or_one_that_stayed_behind_is_heavy(body_bytes: int, heavy: bool) -> None:
    """It may say thousands of things."""
    assert is_heavy(work_of(replace(event(), body=b" " * body_bytes))) is heavy


def test_a_batch_holds_so_many_bytes() -> None:
    """However many events that are; the first is taken whatever its length."""
    works = [work_of(replace(event(), body=b" " * (BATCH_BYTES // 3))) for _ in range(7)]
    huge = work_of(replace(event(), body=b" " * (2 * BATCH_BYTES)))
    assert [len(batch.works) for batch in plan([*works, huge])] == [3, 3, 1, 1]


@pytest.mark.parametrize(
    "key", [b'"payment_intent":"pi_1"', b'"payment\\u005fintent":"pi_1"'], ids=["plain", "escaped"]
)
def test_an_event_that_says_much_in_few_bytes_is_heavy(key: bytes) -> None:
    """Hundreds of payments fit into sixteen kilobytes."""
    assert is_heavy(work_of(replace(event(), body=b"[" + b",".join([b"{" + key + b"}"] * 400) + b"]")))


def test_a_batch_makes_so_many_facts() -> None:
    """Those that say a little together are no more than one that says much."""
    works = [work_of(replace(event(), body=b'"payment_intent"' * (BATCH_FACTS // 4))) for _ in range(7)]
    assert [len(batch.works) for batch in plan(works)] == [3, 3, 1]


async def test_a_hopeless_event_that_is_named_leaves_its_batch_at_once(harness: Harness) -> None:
    """One further transaction for the others instead of seven."""
    calls: list[int] = []

    @handles_batch("test.batch", registry=harness.registry)
    async def refuse(events: Sequence[StripeEvent], _: Transaction) -> Mapping[str, Outcome]:
        calls.append(len(events))
        for one in events:
            if one.stripe_event_id == "evt_too_much":
                failure = TooManyFacts()
                failure.stripe_event_id = one.stripe_event_id
                raise failure
        return {}

    events = [event("test.batch") for _ in range(60)]
    bad = event("test.batch", event_id="evt_too_much")
    await harness.take(*await harness.recorded(*events[:30], bad, *events[30:]))
    assert calls == [61, 1, 60]
    assert (await harness.row(bad))["dead_at"] is not None


async def test_those_that_a_failed_handler_does_not_concern_run_once_more_and_not_in_halves(harness: Harness) -> None:
    """The handler that failed is known, so the others need not be searched."""
    calls: list[int] = []

    @handles_batch("test.fine", registry=harness.registry)
    async def count(events: Sequence[StripeEvent], _: Transaction) -> Mapping[str, Outcome]:
        calls.append(len(events))
        return {}

    @handles("test.fails", registry=harness.registry)
    async def fail(_: StripeEvent, __: Transaction) -> None:
        raise LookupError

    bad = [event("test.fails") for _ in range(3)]
    fine = [event("test.fine") for _ in range(40)]
    await harness.take(*await harness.recorded(*fine[:20], *bad, *fine[20:]))
    assert calls == [40, 40]
    assert [(await harness.row(one))["processing_attempts"] for one in bad] == [1, 1, 1]


async def test_a_handler_that_never_awaits_is_ended_between_two_events(harness: Harness) -> None:
    """Ten events that each block for less than the time limit do not block for ten times as long."""
    harness.handler_seconds = 0.2
    runs: list[str] = []

    @handles("test.blocks", registry=harness.registry)
    async def block(of: StripeEvent, _: Transaction) -> None:
        runs.append(of.stripe_event_id)
        time.sleep(0.15)  # noqa: ASYNC251  the fault itself

    events = [event("test.blocks") for _ in range(10)]
    async with harness.database.acquire() as tx:
        dispatcher = dispatcher_of(harness.worker())
        with pytest.raises(HandlerFailed):
            await dispatcher.handle(events, tx)
    assert len(runs) < 5


async def test_what_was_planned_before_a_handler_was_known_runs_apart_all_the_same(harness: Harness) -> None:
    """It waits in a batch of its own behind the one that showed it."""
    handles("test.hang", registry=harness.registry)(hang)
    harness.handler_seconds = 0.2
    routing = isolation_of(harness)
    worker = turns_of(harness, routing)
    [bad] = await harness.recorded(event("test.hang"))
    routing.quarantine.accuse("tests.processor.misbehaving.hang", Fault.SLOW)
    await worker.run(plan([work_of(bad.event)]))
    row = await harness.row(bad.event)
    assert (row["processing_attempts"], row["last_error"]) == (0, None)
