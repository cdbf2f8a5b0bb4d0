"""The schedule: one flight for each source, jittered, hurried on only by doubt."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest
import pytest_asyncio

from healthd.__main__ import WATCHED
from healthd.findings import Limits
from healthd.health_state import HealthState
from healthd.observations import Problem
from healthd.poll import PollInterval, ServicePoll, StreamPoll, poll_until, repeat
from healthd.replicas import ServiceWatch, Unresolved
from healthd.rules import Part, Reason, Status
from sluice.failures import StreamUnavailable
from sluice.nats.jetstream import ConsumerState, JetStream, OutgoingMessage
from sluice.runtime.health_targets import Target
from sluice.runtime.settings import ServiceSettings
from tests.healthd.admin import Admin, serving
from tests.waiting import until


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """The session that healthd looks through."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def local(*_: object) -> Sequence[str]:
    """Every name is this machine."""
    return ["127.0.0.1"]


async def nowhere(*_: object) -> Sequence[str]:
    """No name can be looked up."""
    raise Unresolved


def service_poll(state: HealthState, session: aiohttp.ClientSession, port: int, **how: object) -> ServicePoll:
    """A poll of "ingest" on this machine."""
    watch = ServiceWatch(
        Target("ingest", "ingest.test", port),
        session,
        within_seconds=5,
        **({"resolver": local} | how),  # type: ignore[arg-type]
    )
    return ServicePoll(state, watch)


async def test_looks_never_overlap_and_end_when_told_to(session: aiohttp.ClientSession) -> None:
    """A replica that takes long is asked again only when the look before has ended; stop is heeded at once."""
    admin, stop = Admin(), asyncio.Event()
    admin.delay_seconds = 0.15
    state = HealthState(["ingest"], Limits())
    async with serving(admin) as port, asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(poll_until(stop, [service_poll(state, session, port)], state, period_seconds=0.03))
        await until(lambda: len(admin.asked) >= 4)
        stop.set()
    assert admin.most_at_once == 1


async def test_a_service_goes_down_and_comes_back_by_itself(session: aiohttp.ClientSession) -> None:
    """Dead: unhealthy. Alive again: healthy, without a restart or a request."""
    admin, stop = Admin(), asyncio.Event()
    state = HealthState(["ingest"], Limits(stale_seconds=60))
    async with serving(admin) as port, asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(poll_until(stop, [service_poll(state, session, port)], state, period_seconds=0.05))
        await until(lambda: state.verdict().of(Part.SERVICES, "ingest") is Status.HEALTHY)
        admin.is_live = False
        await until(lambda: state.verdict().of(Part.SERVICES, "ingest") is Status.UNHEALTHY)
        admin.is_live = True
        await until(lambda: state.verdict().of(Part.SERVICES, "ingest") is Status.HEALTHY)
        stop.set()


async def test_one_lost_look_changes_nothing(session: aiohttp.ClientSession) -> None:
    """A single failure is a doubt, not a verdict."""
    admin = Admin()
    state = HealthState(["ingest"], Limits())
    async with serving(admin) as port:
        poll = service_poll(state, session, port)
        await poll.look()
        admin.is_live = False
        await poll.look()
        assert state.verdict().of(Part.SERVICES, "ingest") is Status.HEALTHY
        assert not state.is_certain("ingest")
        await poll.look()
        assert state.verdict().of(Part.SERVICES, "ingest") is Status.UNHEALTHY


async def test_a_name_that_cannot_be_resolved_is_unknown(session: aiohttp.ClientSession) -> None:
    """The health state says unknown, and that it is the name's fault."""
    state = HealthState(["ingest"], Limits())
    await service_poll(state, session, 9090, resolver=nowhere).look()
    assert state.snapshot.services["ingest"].problem is Problem.UNRESOLVED
    assert state.verdict().of(Part.SERVICES, "ingest") is Status.UNKNOWN


class Stream:
    """A JetStream that does what the test wants."""

    def __init__(self) -> None:
        self.is_away = False
        self.is_hanging = False

    async def wait_connected(self) -> None:
        """It is, when it is there."""
        if self.is_away:
            await asyncio.Event().wait()

    async def consumer_state(self, durable: str, *, with_ack_floor: bool = True) -> ConsumerState:
        """How far it is."""
        assert durable == "processor"
        assert not with_ack_floor, "healthd may read no message"
        if self.is_hanging:
            await asyncio.Event().wait()
        if self.is_away:
            raise StreamUnavailable
        return ConsumerState(pending=3, ack_pending=2, ack_floor_stored_at=None)


async def test_jetstream_is_seen_up_away_and_hanging() -> None:
    """Its figures stay when it goes away, and a hanging one costs its deadline."""
    stream, state = Stream(), HealthState([], Limits())
    poll = StreamPoll(state, stream, within_seconds=0.1)
    await poll.look()
    assert state.snapshot.stream.problem is None
    stream.is_away = True
    await poll.look()
    assert state.snapshot.stream.problem is Problem.UNREACHABLE
    stream.is_hanging = True
    await poll.look()
    assert state.snapshot.stream.problem is Problem.TIMED_OUT
    assert state.snapshot.stream.seen is not None
    assert (state.snapshot.stream.seen.pending, state.snapshot.stream.seen.ack_pending) == (3, 2)
    assert Reason.STREAM_DOWN in {finding.reason for finding in state.verdict().findings}


def test_the_rhythm_is_a_jittered_period_and_a_fifth_of_it_in_doubt() -> None:
    """Many healthd do not beat in step; a doubt is cleared up soon; a slow look is followed by a rest all the same."""
    calm = {PollInterval(10, lambda: True).rest_seconds(0.5) for _ in range(200)}
    assert min(calm) >= 7.5
    assert max(calm) <= 11.5
    assert len(calm) > 100
    assert max(PollInterval(10, lambda: False).rest_seconds(0.5) for _ in range(200)) <= 2
    assert PollInterval(10, lambda: True).rest_seconds(60) == 1


async def test_stop_interrupts_the_rest() -> None:
    """A long period does not hold up the end."""
    stop, looked = asyncio.Event(), asyncio.Event()

    async def look() -> None:
        looked.set()

    started = time.monotonic()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(repeat(look, PollInterval(60, lambda: True), stop))
        await looked.wait()
        stop.set()
    assert time.monotonic() - started < 2


async def test_health_never_makes_the_stream_that_it_watches(nats_url: str) -> None:
    """Where stream or consumer are missing, healthd says so and leaves their making to those who own them."""
    settings = ServiceSettings.model_validate({"database_url": "postgresql://nobody@127.0.0.1/x", "nats_url": nats_url})
    message = OutgoingMessage("stripe.test.platform.a", "evt_1:1", b"", {})
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(settings, name="healthd", group=group, stream=WATCHED, consumer=None) as stream,
        asyncio.timeout(10),
    ):
        await stream.wait_connected()
        state = HealthState([], Limits())
        await StreamPoll(state, stream, within_seconds=2).look()
        with pytest.raises(StreamUnavailable):
            await stream.publish(message)
    assert state.snapshot.stream.problem is Problem.UNREACHABLE
