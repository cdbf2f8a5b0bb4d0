"""Connections that something outside cuts again and again cost no attempt; a culprit still has its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import pytest

from processor.failures import connection_witness as witness
from processor.failures.classify import LostOutsideHandlers
from processor.failures.connection_witness import ConnectionWitness
from processor.failures.retry_policy import Schedule
from processor.outcome import Work
from sluice.contract.event import StripeEvent
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.registry import Transaction, handles
from tests.processor.harness import Harness, Message, event, flat, with_effects, write_effect
from tests.processor.processes import Processes
from tests.processor.relay import open_relay
from tests.processor.test_lost_connection import with_own_end
from tests.proxy import Proxy
from tests.waiting import until

pytestmark = pytest.mark.alone
CUT_SECONDS = 0.4
CUT_FOR_SECONDS = 15.0
INNOCENTS = 200
HALVED = 400
TOGETHER = 20
LONG = 8
"""Of them, those that take about as long as a connection lasts."""


@asynccontextmanager
async def through_proxy(dsn: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before PostgreSQL, and the address that leads through it."""
    parts = urlsplit(dsn)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    async with proxy.listening() as port:
        yield proxy, dsn.replace(f":{parts.port}", f":{port}")


async def test_connections_cut_all_the_time_charge_no_innocent(
    harness: Harness, database_url: str, nats_url: str
) -> None:
    """Two hundred under a cut every 0.4 s: no attempt, no start, and all processed soon after the end."""
    events = [event("test.brief" if n % (INNOCENTS // LONG) == 0 else "test.effect") for n in range(INNOCENTS)]
    await harness.record(*events)
    async with open_relay(database_url, nats_url) as relay, through_proxy(database_url) as (proxy, dsn):
        processes = Processes(harness, relay, dsn, nats_url)
        async with processes.processor(ACK_WAIT_SECONDS="6", HANDLER_SECONDS="4") as process:
            await until(relay.has_consumer, within_seconds=60)
            await relay.publish(*events)
            await _cut_for_a_while(proxy)
            assert await _charged(harness, events) == 0
            await until(lambda: processes.are_settled(events), within_seconds=60)
            assert process.returncode is None
    assert await _charged(harness, events) == 0
    assert await harness.effects() == {each.stripe_event_id: 1 for each in events}


async def test_answers_that_end_in_their_middle_charge_no_innocent(
    harness: Harness, database_url: str, nats_url: str
) -> None:
    """Of twenty answers one, with its connection, as long as there is work; then a culprit is charged all the same."""
    events = [event() for _ in range(HALVED)]
    culprit = event("test.ends")
    await harness.record(*events, culprit)
    async with open_relay(database_url, nats_url) as relay, through_proxy(database_url) as (proxy, dsn):
        processes = Processes(harness, relay, dsn, nats_url)
        async with processes.processor(ACK_WAIT_SECONDS="6", HANDLER_SECONDS="4"):
            await until(relay.has_consumer, within_seconds=60)
            proxy.halves_every = 20
            for start in range(0, HALVED, TOGETHER):
                await relay.publish(*events[start : start + TOGETHER])
                await until(partial(processes.are_settled, events[: start + TOGETHER]), within_seconds=100)
            proxy.halves_every = None
            assert await _charged(harness, events) == 0
            await relay.publish(culprit)
            await until(lambda: _has_attempt(harness, culprit), within_seconds=60)
    assert await harness.effects() == {each.stripe_event_id: 1 for each in events}


async def _has_attempt(harness: Harness, one: StripeEvent) -> bool:
    return bool((await harness.row(one))["processing_attempts"] == 1)


async def _cut_for_a_while(proxy: Proxy) -> None:
    for _ in range(round(CUT_FOR_SECONDS / CUT_SECONDS)):
        await asyncio.sleep(CUT_SECONDS)  # the fault itself
        proxy.cut()


async def _charged(harness: Harness, events: Sequence[StripeEvent]) -> int:
    rows = await harness.database.fetch(
        "SELECT count(*) AS charged FROM webhook_logs WHERE stripe_event_id = ANY ($1)"
        " AND (processing_attempts > 0 OR last_error IS NOT NULL OR dead_at IS NOT NULL)",
        [each.stripe_event_id for each in events],
    )
    charged: int = rows[0]["charged"]
    return charged


@pytest.mark.parametrize(("cuts", "attempts"), [(12, 0), (110, 1)])
async def test_an_event_is_cut_often_before_it_is_charged(
    harness: Harness, database_url: str, monkeypatch: pytest.MonkeyPatch, cuts: int, attempts: int
) -> None:
    """An event that takes every connection of the process with it ends too."""
    monkeypatch.setattr("processor.failures.database_gate.LONGEST_SECONDS", 0.01)
    harness.schedule = Schedule(spread=flat(60))
    left = cuts

    @handles("test.unlucky", registry=harness.registry)
    async def be_cut(of: StripeEvent, tx: Transaction) -> None:
        nonlocal left
        await write_effect(of, tx)
        if left:
            left -= 1
            proxy.cut()
            await tx.execute("SELECT pg_sleep(5)")

    [message] = await harness.recorded(event("test.unlucky"))
    async with (
        through_proxy(database_url) as (proxy, dsn),
        Database.connect(dsn, application_name="sluice-test") as cut,
        Database.connect(dsn, application_name="sluice-test", min_size=0, max_size=1) as beside,
    ):
        cut_harness = replace(harness, database=cut)
        async with asyncio.timeout(120):
            await replace(cut_harness.worker(), witness=ConnectionWitness(beside)).take([message.incoming()])
    row = await harness.row(message.event)
    assert (row["processing_attempts"], row["processed"]) == (attempts, attempts == 0)
    assert (left == 0) is (attempts == 0)


@pytest.mark.parametrize("answer", [1, 2, 3])
async def test_a_connection_that_is_lost_before_a_handler_runs_is_no_handlers(
    harness: Harness, database_url: str, answer: int
) -> None:
    """The answer to BEGIN, or one to the claim."""
    with_effects(harness.registry)
    [message] = await harness.recorded(event())
    async with through_proxy(database_url) as (proxy, dsn), connected(dsn) as cut:
        await cut.fetch("SELECT 1")
        proxy.halves_every = answer
        with pytest.raises(LostOutsideHandlers):
            await _run_once(replace(harness, database=cut), message)


@pytest.mark.parametrize("swallows", [False, True], ids=["after it returned", "while it ran"])
async def test_a_connection_that_is_lost_in_settling_is_a_handlers_only_if_that_lost_it(
    harness: Harness, database_url: str, swallows: bool
) -> None:
    """One that swallows the loss of its connection says nothing, and is to blame all the same."""

    @handles("test.unlucky", registry=harness.registry)
    async def be_cut(_: StripeEvent, tx: Transaction) -> None:
        proxy.halves_every = 1
        if swallows:
            with suppress(*DATABASE_ERRORS):
                await tx.execute("SELECT 1")

    [message] = await harness.recorded(event("test.unlucky"))
    async with through_proxy(database_url) as (proxy, dsn), connected(dsn) as cut:
        with pytest.raises(DATABASE_ERRORS) as lost:
            await _run_once(replace(harness, database=cut), message)
    assert isinstance(lost.value, LostOutsideHandlers) is not swallows


async def test_a_loss_in_a_handler_counts_no_attempt_while_connections_are_cut_elsewhere(
    harness: Harness, database_url: str
) -> None:
    """And is the event's own again when that is over."""
    async with connected(database_url) as beside:
        one = ConnectionWitness(beside)
        assert not one.saw_cut("evt_1")
        one.note_cut()
        assert one.saw_cut("evt_1")
        one._cuts_seen[0] -= witness._CUTS_GO_ON_SECONDS
        assert not one.saw_cut("evt_1")


def connected(dsn: str) -> AbstractAsyncContextManager[Database]:
    """A pool of one connection, opened at need."""
    return Database.connect(dsn, application_name="sluice-test", min_size=0, max_size=1)


async def _run_once(harness: Harness, message: Message) -> None:
    await harness.worker().processor.process([Work(message.event, 0, message.incoming())])


async def test_an_event_that_ends_its_backend_has_its_attempt_before_a_witness(
    harness: Harness, database_url: str
) -> None:
    """The witness keeps its connection."""
    runs = with_own_end(harness.registry)
    [message] = await harness.recorded(event("test.ends"))
    async with Database.connect(database_url, application_name="sluice-test", min_size=0, max_size=1) as beside:
        await replace(harness.worker(), witness=ConnectionWitness(beside)).take([message.again().incoming()])
    row = await harness.row(message.event)
    assert (row["processing_attempts"], len(runs)) == (1, 3)


async def test_without_a_free_connection_there_is_no_witness(
    harness: Harness, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on, and a loss counts as it does without one."""
    monkeypatch.setattr(witness, "_OPEN_SECONDS", 0.05)
    async with (
        Database.connect(database_url, application_name="sluice-test", min_size=0, max_size=1) as beside,
        beside.acquire(),
    ):
        one = ConnectionWitness(beside)
        with pytest.raises(ConnectionError):
            async with one.watching("evt_1"):
                raise ConnectionError
        assert not one.saw_cut("evt_1")
