"""healthd asks every replica behind a name, and waits for none of them for long."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import aiohttp
import pytest
import pytest_asyncio

from devstack.ports import free_port
from healthd.findings import service_findings
from healthd.observations import Configured, Observation, PoolSeen, Problem, ServiceSeen
from healthd.replica_status import parse_answer
from healthd.replicas import ANSWER_BYTES_AT_MOST, ServiceWatch, Unresolved, resolve
from healthd.rules import Reason
from sluice.runtime.health_targets import Target
from tests.healthd.admin import STATUS, Admin, serving


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """The session that healthd looks through."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


class Names:
    """A resolver whose answer a test changes."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: Sequence[str] = addresses
        self.is_away = False

    async def __call__(self, *_: object) -> Sequence[str]:
        """Return the addresses of the name."""
        if self.is_away:
            raise Unresolved
        return self.addresses


def watch(session: aiohttp.ClientSession, port: int, names: Names, *, within_seconds: float = 2.0) -> ServiceWatch:
    """A watch on "ingest.test", whose addresses the resolver makes up."""
    target = Target("ingest", "ingest.test", port)
    return ServiceWatch(target, session, within_seconds=within_seconds, resolver=names)


async def test_a_replica_is_seen_with_all_that_it_says(session: aiohttp.ClientSession) -> None:
    """Readiness, version, pool and configuration come from the replica's own status."""
    async with serving(Admin()) as port:
        service = await watch(session, port, Names("127.0.0.1")).look()
    (replica,) = service.replicas
    assert (replica.address, replica.is_live, replica.is_ready) == (f"127.0.0.1:{port}", True, True)
    assert replica.pool == PoolSeen(size=3, idle=1, busy=2, limit=8)
    assert replica.version == "1.2.3"
    assert (replica.webhook_secret, replica.secret_key) == (Configured.OK, Configured.OK)


@pytest.mark.parametrize(
    ("stream", "is_frozen", "refused"),
    [
        ({"connected": True}, False, ()),
        ({"connected": True, "refuses": True}, True, ()),
        ({"connected": True, "stalled": True}, True, ()),
        ({"connected": True, "settings_refused": ["STREAM_REPLICAS"]}, False, ("STREAM_REPLICAS",)),
    ],
)
def test_what_a_replica_says_of_the_stream_is_heard(
    stream: dict[str, object], is_frozen: bool, refused: tuple[str, ...]
) -> None:
    """Publishers and consumers know more of the stream than healthd does."""
    replica = parse_answer("10.0.0.1:9090", json.dumps({"ready": True, "stream": stream}).encode())
    assert (replica.stream_frozen, replica.stream_settings_refused) == (is_frozen, refused)


@pytest.mark.parametrize(
    ("endpoint", "faults"),
    [({}, ()), ({"faults": ["disabled"], "warnings": ["secret_unproven"]}, ("disabled",)), ({"faults": []}, ())],
)
def test_faults_of_our_endpoint_at_stripe_are_heard(endpoint: dict[str, object], faults: tuple[str, ...]) -> None:
    """A warning is none; healthd itself cannot look at Stripe."""
    replica = parse_answer("10.0.0.1:9090", json.dumps({"ready": True, "endpoint": endpoint}).encode())
    assert (replica.is_ready, replica.endpoint_faults) == (True, faults)


async def test_each_address_of_a_name_is_one_replica(session: aiohttp.ClientSession) -> None:
    """Two replicas behind one name, one of them without the webhook secret: both are seen, each as it is."""
    first, second = Admin(), Admin()
    second.status = {"ready": True, "configuration": {"stripe_webhook_secret": "missing"}}
    async with serving(first) as port, serving(second, host="::1", port=port):
        service = await watch(session, port, Names("127.0.0.1", "::1")).look()
    assert [replica.address for replica in service.live] == [f"127.0.0.1:{port}", f"[::1]:{port}"]
    assert [replica.webhook_secret for replica in service.live] == [Configured.OK, Configured.MISSING]
    assert first.asked == second.asked == [f"ingest.test:{port}"]


async def test_a_hanging_replica_costs_its_deadline_and_hides_no_other(session: aiohttp.ClientSession) -> None:
    """One replica accepts and never answers: the look ends in time, and its neighbour is seen."""
    well, hanging = Admin(), Admin()
    hanging.is_hanging = True
    async with serving(well) as port, serving(hanging, host="::1", port=port):
        started = time.monotonic()
        service = await watch(session, port, Names("127.0.0.1", "::1"), within_seconds=0.3).look()
        assert time.monotonic() - started < 2
    assert [replica.problem for replica in service.replicas] == [None, Problem.TIMED_OUT]


async def test_a_dead_replica_is_told_from_a_live_one(session: aiohttp.ClientSession) -> None:
    """Nothing listens there."""
    service = await watch(session, free_port(), Names("127.0.0.1")).look()
    assert [replica.problem for replica in service.replicas] == [Problem.UNREACHABLE]


async def test_a_replica_that_is_not_live_is_down(session: aiohttp.ClientSession) -> None:
    """Its liveness probe fails although something answers."""
    admin = Admin()
    admin.is_live = False
    async with serving(admin) as port:
        service = await watch(session, port, Names("127.0.0.1")).look()
    assert [replica.problem for replica in service.replicas] == [Problem.BAD_ANSWER]


async def test_a_task_that_stands_still_is_seen(session: aiohttp.ClientSession) -> None:
    """A replica whose consumer, journal or relay no longer turns says so itself, long before it ends of it."""
    admin = Admin()
    tasks = {"relay": (61, 120), "journal": (59, 120), "poll": (900, 3600)}
    admin.status = {
        "ready": True,
        "tasks": {name: {"last_turn_age_seconds": age, "within_seconds": w} for name, (age, w) in tasks.items()},
    }
    async with serving(admin) as port:
        service = await watch(session, port, Names("127.0.0.1")).look()
    assert [replica.standing_still for replica in service.live] == [("relay",)]


async def test_names_are_resolved_anew_for_each_look(session: aiohttp.ClientSession) -> None:
    """A replica that has left the name is forgotten, one that has joined is asked."""
    names = Names("127.0.0.1")
    async with serving(Admin()) as port, serving(Admin(), host="::1", port=port):
        service_watch = watch(session, port, names)
        assert [replica.address for replica in (await service_watch.look()).replicas] == [f"127.0.0.1:{port}"]
        names.addresses = ["::1"]
        assert [replica.address for replica in (await service_watch.look()).replicas] == [f"[::1]:{port}"]


class Clock:
    """Time that passes when told to."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds since some moment."""
        return self.now


def cached(session: aiohttp.ClientSession, port: int, names: Names, clock: Clock) -> ServiceWatch:
    """A watch whose resolver may be 30 seconds behind."""
    target = Target("ingest", "ingest.test", port)
    return ServiceWatch(target, session, within_seconds=2, resolver=names, dns_seconds=30, clock=clock)


def reasons(service: ServiceSeen) -> set[Reason]:
    """The reasons found about ingest."""
    return {finding.reason for finding in service_findings("ingest", Observation(service, seen_at=0, looked_at=0))}


async def test_a_rolling_update_behind_a_dns_cache_raises_no_alarm(session: aiohttp.ClientSession) -> None:
    """The cache names the old replicas, which drain and end, and not the new ones, which serve: nothing is wrong."""
    old, clock, names = Admin(), Clock(), Names("127.0.0.1")
    port = free_port()
    service_watch = cached(session, port, names, clock)
    async with serving(old, port=port):
        assert reasons(await service_watch.look()) == set()
        old.status = {**STATUS, "ready": False, "draining": True}
        assert reasons(await service_watch.look()) == set()
    clock.now += 29
    assert reasons(await service_watch.look()) == set()
    names.addresses = ["::1"]
    async with serving(Admin(), host="::1", port=port):
        assert reasons(await service_watch.look()) == set()


async def test_one_of_two_that_left_is_no_replica_that_is_down(session: aiohttp.ClientSession) -> None:
    """As long as the cache may name it; what still does not answer afterwards is down."""
    names, clock, port = Names("127.0.0.1", "::1"), Clock(), free_port()
    service_watch = cached(session, port, names, clock)
    async with serving(Admin(), port=port):
        async with serving(Admin(), host="::1", port=port):
            assert reasons(await service_watch.look()) == set()
        clock.now += 30
        assert reasons(await service_watch.look()) == set()
        clock.now += 0.1
        assert reasons(await service_watch.look()) == {Reason.REPLICA_DOWN}
        names.addresses = ["127.0.0.1"]
        assert reasons(await service_watch.look()) == set()


async def test_a_service_that_ended_and_did_not_come_back_is_down_when_dns_must_know(
    session: aiohttp.ClientSession,
) -> None:
    """All are gone: down when the cache has expired at the latest, at once when the name is empty."""
    names, clock, port = Names("127.0.0.1"), Clock(), free_port()
    service_watch = cached(session, port, names, clock)
    async with serving(Admin(), port=port):
        await service_watch.look()
    clock.now += 30.1
    assert Reason.SERVICE_DOWN in reasons(await service_watch.look())
    names.addresses = []
    assert Reason.SERVICE_DOWN in reasons(await service_watch.look())


async def test_an_address_that_never_answered_is_down_at_once(session: aiohttp.ClientSession) -> None:
    """It has not left, for it was never there."""
    service_watch = cached(session, free_port(), Names("127.0.0.1"), Clock())
    assert Reason.SERVICE_DOWN in reasons(await service_watch.look())


async def test_a_target_that_is_an_address_has_no_cache(session: aiohttp.ClientSession) -> None:
    """A process of `make run` is down the moment it ends."""
    port = free_port()
    service_watch = ServiceWatch(Target("ingest", "127.0.0.1", port), session, within_seconds=2, dns_seconds=30)
    async with serving(Admin(), port=port):
        await service_watch.look()
    assert Reason.SERVICE_DOWN in reasons(await service_watch.look())


@pytest.mark.parametrize(
    ("said", "is_without"),
    [
        ({}, False),
        ({"first_contact": {"reached": False, "problem": "PostgreSQL: its name cannot be resolved (DNS)"}}, True),
        ({"first_contact": {"reached": True, "problem": None}, "database": {"problem": None, "timeouts": 1}}, False),
        ({"first_contact": {"reached": True}, "database": {"problem": "it refuses this user or password"}}, True),
    ],
)
def test_a_replica_that_cannot_reach_postgresql_says_so(said: dict[str, object], is_without: bool) -> None:
    """Never yet, or not when it tried last; a release before this one says nothing of it."""
    assert parse_answer("10.0.0.1:9090", json.dumps({**STATUS, **said}).encode()).is_without_database is is_without


async def test_while_the_resolver_is_away_the_last_addresses_serve(session: aiohttp.ClientSession) -> None:
    """A DNS outage of ours is no outage of theirs; only a name that never resolved is unknown."""
    names = Names("127.0.0.1")
    async with serving(Admin()) as port:
        service_watch = watch(session, port, names)
        names.is_away = True
        with pytest.raises(Unresolved):
            await service_watch.look()
        names.is_away = False
        await service_watch.look()
        names.is_away = True
        assert len((await service_watch.look()).live) == 1


async def test_a_name_without_addresses_has_no_replicas(session: aiohttp.ClientSession) -> None:
    """A headless service without pods resolves to nothing, which is not the same as not knowing."""
    assert (await watch(session, 9090, Names()).look()).replicas == ()


async def test_a_resolver_that_hangs_is_given_up(session: aiohttp.ClientSession) -> None:
    """Looking up a name has a deadline like everything else."""

    async def hang(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    target = Target("ingest", "ingest.test", 9090)
    with pytest.raises(Unresolved):
        await ServiceWatch(target, session, within_seconds=0.1, resolver=hang).look()


async def test_the_real_resolver_finds_addresses_and_knows_when_there_are_none() -> None:
    """An address stands for itself; a name that cannot exist stands for nothing."""
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
    with suppress(Unresolved):  # where no resolver can be reached
        assert await resolve("nobody.invalid", 80) == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'{"ready": "perhaps"}',
        b'{"pool": {"max": -1}}',
        b'{"uptime_seconds": Infinity, "ready": true}',
        b'{"uptime_seconds": NaN}',
        b"\xff",
    ],
)
def test_an_answer_that_makes_no_sense_leaves_a_live_replica_of_which_nothing_is_known(body: bytes) -> None:
    """It is live, for it answered; it is not ready, and its secrets are unknown."""
    replica = parse_answer("10.0.0.1:9090", body)
    assert replica.is_live
    assert not replica.is_ready
    assert (replica.webhook_secret, replica.secret_key) == (Configured.UNKNOWN, Configured.UNKNOWN)


async def test_an_endless_answer_is_not_read_to_its_end(session: aiohttp.ClientSession) -> None:
    """A status longer than any status can be is treated as nonsense."""
    admin = Admin()
    admin.status = b'{"ready": true, "padding": "' + b"x" * ANSWER_BYTES_AT_MOST + b'"}'
    async with serving(admin) as port:
        (replica,) = (await watch(session, port, Names("127.0.0.1")).look()).replicas
    assert (replica.is_live, replica.is_ready) == (True, False)
