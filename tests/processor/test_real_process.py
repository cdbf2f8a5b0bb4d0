"""Whole processors as processes of their own, killed and stopped for real."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Sequence

import pytest
import pytest_asyncio
from pydantic import SecretStr

from devstack.nats import NatsServer
from devstack.ports import free_port
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import ALL_SUBJECTS, CONSUMER, STREAM
from sluice.nats.jetstream import ConsumerSpec, IncomingMessage, JetStream, StreamSpec, give_back
from sluice.runtime.settings import ServiceSettings
from tests.processor.harness import Harness, event
from tests.processor.process_under_test import KILLED
from tests.processor.processes import Processes
from tests.processor.relay import open_relay
from tests.waiting import listens, until

pytestmark = pytest.mark.alone


@pytest_asyncio.fixture
async def processes(harness: Harness, database_url: str, nats_url: str) -> AsyncIterator[Processes]:
    """Everything but the processors."""
    async with open_relay(database_url, nats_url) as relay:
        yield Processes(harness, relay, database_url, nats_url)


@pytest.mark.parametrize(("event_type", "code"), [("test.kills", KILLED), ("test.cancels_all", 1)])
async def test_a_message_that_ends_its_process_dies_alone(processes: Processes, event_type: str, code: int) -> None:
    """Its nineteen neighbours take effect once each; it is dead after three runs alone, and says why."""
    killer = event(event_type)
    events = [*(event() for _ in range(19)), killer]
    await processes.harness.record(*events)
    deaths = 0
    async with processes.processor() as process:
        await until(processes.relay.has_consumer)
        await processes.relay.publish(*events)
        assert await process.wait() == code
    while not await processes.are_settled(events):
        deaths += 1
        assert deaths <= 4
        async with processes.processor() as process:
            gone = asyncio.create_task(process.wait())
            await until(lambda gone=gone: _either(gone.done(), processes.are_settled(events)))  # type: ignore[misc]
    row = await processes.harness.row(killer)
    assert (row["processed"], row["dead_at"] is not None) == (False, True)
    assert "killed its process" in row["last_error"]
    assert await processes.harness.effects() == {each.stripe_event_id: 1 for each in events[:-1]}


async def test_neighbours_of_a_killer_do_not_wait_for_the_ack_wait_again(processes: Processes, nats_url: str) -> None:
    """Suspects already, forty of them are in the stream with the killer in their middle; a minute is not spent."""
    killer, neighbours = event("test.kills"), [event() for _ in range(40)]
    events = [*neighbours[:10], killer, *neighbours[10:]]
    await processes.harness.record(*events)
    await _make_suspects(processes, nats_url, events)
    began = time.monotonic()
    while not await processes.are_settled(neighbours):
        async with processes.processor(ACK_WAIT_SECONDS="60") as process:
            gone = asyncio.create_task(process.wait())
            await until(lambda gone=gone: _either(gone.done(), processes.are_settled(events)), within_seconds=90)  # type: ignore[misc]
    assert time.monotonic() - began < 45
    assert await processes.harness.effects() == {each.stripe_event_id: 1 for each in neighbours}
    assert (await processes.harness.row(killer))["solo_starts"] > 0


async def _make_suspects(processes: Processes, nats_url: str, events: Sequence[StripeEvent]) -> None:
    """As if they had been in the hand of a processor that died."""
    settings = ServiceSettings(database_url=SecretStr("postgresql://db/x"), nats_url=SecretStr(nats_url))
    spec = ConsumerSpec(CONSUMER, ack_wait_seconds=60)
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(
            settings, name="dies", group=group, stream=StreamSpec(STREAM, (ALL_SUBJECTS,)), consumer=spec
        ) as stream,
    ):
        async with asyncio.timeout(30):
            await stream.wait_connected()
        await processes.relay.publish(*events)
        held: list[IncomingMessage] = []
        while len(held) < len(events):
            held += await stream.fetch(len(events), within_seconds=10)
        give_back(held, after_seconds=0.1)


async def test_a_process_killed_between_commit_and_acknowledgement_leaves_one_effect(processes: Processes) -> None:
    """The message comes again, meets processed = true and is acknowledged."""
    events = [event() for _ in range(3)]
    await processes.harness.record(*events)
    async with processes.processor(FAILPOINT="before_ack") as process:
        await until(processes.relay.has_consumer)
        await processes.relay.publish(*events)
        assert await process.wait() == KILLED
    assert await processes.harness.effects() != {}
    async with processes.processor():
        await until(lambda: processes.are_settled(events))
        await until(processes.relay.is_all_acknowledged)
    assert await processes.harness.effects() == {each.stripe_event_id: 1 for each in events}


async def test_a_sigterm_lets_the_transaction_in_flight_finish(processes: Processes) -> None:
    """Exit code 0 within the drain, the effect committed, the message acknowledged."""
    slow = event("test.slow")
    await processes.harness.record(slow)
    patient = {"HANDLER_SECONDS": "10", "ACK_WAIT_SECONDS": "30", "DRAIN_SECONDS": "20"}
    async with processes.processor(**patient) as process:
        await until(processes.relay.has_consumer)
        await processes.relay.publish(slow)
        await until(lambda: _is_running(processes))
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert time.monotonic() - started < 6
    assert await processes.harness.effects() == {slow.stripe_event_id: 1}
    await until(processes.relay.is_all_acknowledged)


async def test_a_nats_that_lost_its_whole_store_needs_no_restart_of_ours(
    processes: Processes, nats_server: NatsServer
) -> None:
    """Stream and consumer are made again, and what is published again takes effect once."""
    before, after = event(), event()
    await processes.harness.record(before, after)
    async with processes.processor() as process:
        await until(processes.relay.has_consumer)
        await processes.relay.publish(before)
        await until(lambda: processes.are_settled([before]))
        await nats_server.wipe()
        await nats_server.restart()
        await until(processes.relay.has_consumer)
        await processes.relay.publish(before, after, publication=2)
        await until(lambda: processes.are_settled([before, after]))
        assert process.returncode is None
    assert await processes.harness.effects() == {before.stripe_event_id: 1, after.stripe_event_id: 1}


async def test_a_processor_starts_without_postgres_and_nats(
    harness: Harness, database_url: str, nats_server: NatsServer
) -> None:
    """It waits for both, and stops when told to."""
    await nats_server.stop()
    processes = Processes(harness, None, database_url.replace("127.0.0.1", "127.0.0.2"), nats_server.url)
    port = free_port()
    async with processes.processor(ADMIN_PORT=str(port)) as process:
        await until(lambda: listens(port))  # which it does only after the signals are listened to
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await process.wait()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(8):
            assert await process.wait() == 0


async def _either(first: bool, second: Awaitable[bool]) -> bool:
    return await second or first


async def _is_running(processes: Processes) -> bool:
    rows = await processes.harness.database.fetch(
        "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE 'INSERT INTO effect%'"
    )
    return bool(rows)
