"""Whole processors with no NATS to tell them anything."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from devstack.nats import NatsServer
from sluice.contract.event import StripeEvent
from tests.processor.harness import Harness, event
from tests.processor.processes import Processes
from tests.processor.relay import open_relay
from tests.waiting import until

NOWHERE = "nats://127.0.0.1:1"
PATIENCE = {"STREAM_GRACE_SECONDS": "0.5"}


@pytest.fixture
def make_stage(harness: Harness, database_url: str) -> Callable[[str], Processes]:
    """Processors that are told of a NATS at that address."""

    def make(nats_url: str) -> Processes:
        return Processes(harness, None, database_url, nats_url)

    return make


@pytest.mark.parametrize("nats_url", ["", NOWHERE], ids=["none", "unreachable"])
async def test_several_processors_share_the_work(make_stage: Callable[[str], Processes], nats_url: str) -> None:
    """Each webhook takes effect once, those that come later too."""
    processes = make_stage(nats_url)
    before, after = [event() for _ in range(100)], [event() for _ in range(100)]
    await processes.harness.record(*before)
    async with processes.processor(**PATIENCE), processes.processor(**PATIENCE):
        await until(lambda: processes.are_settled(before), within_seconds=60)
        await processes.harness.record(*after)
        await until(lambda: processes.are_settled(after), within_seconds=60)
    assert await processes.harness.effects() == {each.stripe_event_id: 1 for each in (*before, *after)}


async def test_one_that_kills_its_process_dies_by_itself(make_stage: Callable[[str], Processes]) -> None:
    """Its neighbours take effect once each, and it is dead after as many runs alone as are allowed."""
    processes = make_stage("")
    killer, others = event("test.kills"), [event() for _ in range(20)]
    await processes.harness.record(*others[:10], killer, *others[10:])
    deaths = 0
    while not await processes.are_settled([killer, *others]):
        async with processes.processor(SOLO_STARTS="2") as process:
            ended = partial(_ended_or_settled, processes, process, killer, others)
            await until(ended, within_seconds=60)
            deaths += process.returncode is not None
    row = await processes.harness.row(killer)
    assert row["dead_at"] is not None
    assert "killed its process" in row["last_error"]
    assert deaths == 3  # one in company, which showed a suspect, and two alone
    assert await processes.harness.effects() == {each.stripe_event_id: 1 for each in others}


async def _ended_or_settled(
    processes: Processes, process: object, killer: StripeEvent, others: list[StripeEvent]
) -> bool:
    return getattr(process, "returncode", None) is not None or await processes.are_settled([killer, *others])


async def test_nothing_is_done_twice_when_nats_is_back(harness: Harness, database_url: str, tmp_path: Path) -> None:
    """Messages from before it went are still in the stream, and meet rows that are settled."""
    server = await NatsServer.start(tmp_path)
    try:
        async with open_relay(database_url, server.url) as relay:
            processes = Processes(harness, relay, database_url, server.url)
            async with processes.processor():
                await until(relay.has_consumer, within_seconds=30)
            events = [event() for _ in range(20)]
            await harness.record(*events)
            await relay.publish(*events)
            await server.stop()
            async with processes.processor(**PATIENCE):
                await until(lambda: processes.are_settled(events), within_seconds=60)
                await server.restart()
                await until(relay.stream_is_back, within_seconds=30)
                await until(relay.is_all_acknowledged, within_seconds=60)
                later = event()
                await harness.record(later)
                await relay.publish(later)
                await until(lambda: processes.are_settled([later]), within_seconds=60)
    finally:
        await server.stop()
    assert await harness.effects() == {each.stripe_event_id: 1 for each in (*events, later)}


async def test_messages_that_were_lost_are_not_waited_for(harness: Harness, database_url: str, nats_url: str) -> None:
    """The stream is there, idle and empty, and PostgreSQL has webhooks of which it was never told."""
    async with open_relay(database_url, nats_url) as relay:
        processes = Processes(harness, relay, database_url, nats_url)
        events = [event() for _ in range(20)]
        async with processes.processor():
            await until(relay.has_consumer, within_seconds=30)
            await harness.record(*events)
            await until(lambda: processes.are_settled(events), within_seconds=60)
    assert await harness.effects() == {each.stripe_event_id: 1 for each in events}
