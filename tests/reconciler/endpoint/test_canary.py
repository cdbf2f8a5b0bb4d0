"""The canary against an offline Stripe: it pings the right destination, and knows which ping came back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from reconciler.endpoint.canary import Canary, echoes_in
from sluice.contract.document import Json, JsonObject
from sluice.failures import DatabaseUnavailable
from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.answers import Refusal
from sluice.simulator.stripe_api.faults import Fault, broken
from sluice.simulator.stripe_api.offline_stripe import Key, OfflineStripe
from tests.metrics import counted
from tests.ops.rows import connected, insert_webhook
from tests.reconciler.asking import asking
from tests.reconciler.endpoint.registered import destination, endpoint, register
from tests.stripe_world import TEST_KEY, offline_stripe
from tests.waiting import until

HERE = "http://127.0.0.1:1/api/stripe-webhook"
"""Nothing listens there: each test says itself which ping comes back."""
ROUND = 0.05


@dataclass
class Flying:
    """A canary, and what the log holds of its pings."""

    world: OfflineStripe
    canary: Canary = field(init=False)
    heard: set[str] = field(default_factory=set)
    is_deaf: bool = False

    async def echoes(self, event_ids: Sequence[str]) -> Collection[str]:
        """As PostgreSQL tells."""
        if self.is_deaf:
            raise DatabaseUnavailable("away")
        return self.heard & set(event_ids)

    @property
    def sent(self) -> Sequence[str]:
        """The pings that Stripe made, in order."""
        return [entry.id for entry in self.world.thin_events[False, None]]

    @property
    def waits_seconds(self) -> float:
        """As the status tells, and the metric."""
        said = self.canary.status()["waits_seconds"]
        assert isinstance(said, float)
        return said


@asynccontextmanager
async def flying(world: OfflineStripe, *, every_seconds: float = 300) -> AsyncIterator[Flying]:
    """A canary of this world."""
    async with asking(world, request_seconds=2) as api:
        found = Flying(world)
        found.canary = Canary(HERE, api, echoes=found.echoes, every_seconds=every_seconds)
        yield found


@asynccontextmanager
async def running(canary: Canary) -> AsyncIterator[None]:
    """Let it ping by itself for the length of a block."""
    task = asyncio.create_task(canary.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def world_with(*entries: JsonObject) -> OfflineStripe:
    """A Stripe with these registrations."""
    world = offline_stripe()
    register(world, *entries)
    world.destination_secrets |= dict.fromkeys(("ed_1", "ed_2"), "whsec_of_a_destination")
    return world


def here(name: str = "ed_1", **changes: Json) -> JsonObject:
    """A thin destination of our URL."""
    return {**destination(name), "webhook_endpoint": {"url": HERE}, **changes}


async def test_a_ping_whose_echo_is_in_the_log_waits_no_more() -> None:
    """Its own moment is the metric; pings that were sent before are answered by it too."""
    async with flying(world_with(here())) as made:
        await made.canary.ping()
        await made.canary.ping()
        await made.canary.look()
        assert made.waits_seconds > 0
        assert counted("endpoint_ping_echo_timestamp_seconds", mode="test") is None
        made.heard = {made.sent[1]}
        await made.canary.look()
        assert made.waits_seconds == 0
        assert (counted("endpoint_ping_echo_timestamp_seconds", mode="test") or 0) > 1_700_000_000


async def test_a_later_ping_goes_on_waiting_when_an_earlier_one_comes_back() -> None:
    """Else an echo that is late would hide the silence after it."""
    async with flying(world_with(here())) as made:
        await made.canary.ping()
        await made.canary.ping()
        made.heard = {made.sent[0]}
        await made.canary.look()
        assert made.waits_seconds > 0


async def test_silence_grows_from_the_first_ping_without_an_echo() -> None:
    """Not from the newest one, however many are sent."""
    async with flying(world_with(here()), every_seconds=ROUND) as made, running(made.canary):
        await until(lambda: len(made.sent) > 15)
        assert made.waits_seconds > 10 * ROUND
        assert (counted("endpoint_ping_waits_seconds", mode="test") or 0) > 10 * ROUND


async def test_pings_go_on_after_an_echo() -> None:
    """One each round, and nothing is shown once another replica pings."""
    async with flying(world_with(here()), every_seconds=ROUND) as made:
        async with running(made.canary):
            for number in range(1, 4):
                await until(lambda: len(made.sent) >= number)  # noqa: B023  awaited in the same round
                made.heard = set(made.sent)
        assert made.waits_seconds == 0
        assert counted("endpoint_ping_waits_seconds", mode="test") is None


async def test_while_postgresql_is_away_no_echo_is_heard_and_none_is_lost() -> None:
    """It is found as soon as the log can be read."""
    async with flying(world_with(here())) as made:
        await made.canary.ping()
        made.heard, made.is_deaf = set(made.sent), True
        await made.canary.look()
        assert made.waits_seconds > 0
        made.is_deaf = False
        await made.canary.look()
        assert made.waits_seconds == 0


@pytest.mark.parametrize(
    "other",
    [
        endpoint(url=HERE),
        here(status="disabled"),
        here(event_payload="snapshot"),
        here(webhook_endpoint={"url": "https://other.example/api/stripe-webhook"}),
        here(livemode=True),
    ],
)
async def test_without_an_enabled_thin_destination_of_ours_nothing_is_pinged(other: JsonObject) -> None:
    """An endpoint of the older kind, a disabled one, snapshots, another's URL, the other mode."""
    async with flying(world_with(other)) as made:
        await made.canary.ping()
        assert not [path for path in made.world.requests if path.endswith("/ping")]
        assert made.waits_seconds == 0


async def test_each_destination_is_pinged_and_one_that_is_silent_shows() -> None:
    """Each has a secret of its own, which ingest may lack."""
    async with flying(world_with(here(), here("ed_2"))) as made:
        await made.canary.ping()
        assert len(made.sent) == 2
        made.heard = {made.sent[1]}
        await made.canary.look()
        waits = made.canary.status()["destinations"]
        assert isinstance(waits, dict)
        assert min(waits.values()) == 0
        assert made.waits_seconds > 0


async def test_a_destination_that_cannot_be_pinged_keeps_no_other_from_it() -> None:
    """Stripe refuses the first."""
    world = world_with(here(), here("ed_2"))
    world.faults.add([Fault(Refusal(404, "No such destination"))], path="ed_1/ping")
    async with flying(world) as made:
        await made.canary.ping()
        assert len(made.sent) == 1
        made.heard = set(made.sent)
        await made.canary.look()
        assert made.waits_seconds == 0


async def test_a_destination_that_is_disabled_ends_the_wait() -> None:
    """That it is disabled is a finding of its own."""
    async with flying(world_with(here())) as made:
        await made.canary.ping()
        register(made.world, here(status="disabled"))
        await made.canary.ping()
        assert made.waits_seconds == 0


@pytest.mark.parametrize("right", ["rak_event_read", "rak_webhook_read"])
async def test_a_key_without_the_right_to_ping_raises_no_alarm(right: str) -> None:
    """No ping goes out, so none is missing."""
    world = world_with(here())
    world.keys[TEST_KEY] = Key(TEST_KEY, frozenset({right}))
    before = counted("endpoint_pings_total", mode="test", outcome="right_missing") or 0
    async with flying(world) as made:
        await made.canary.ping()
        assert made.waits_seconds == 0
    assert counted("endpoint_pings_total", mode="test", outcome="right_missing") == before + 1


async def test_stripe_away_sends_no_ping_and_the_next_round_does() -> None:
    """500 is no silence of ours."""
    world = world_with(here())
    async with flying(world, every_seconds=ROUND) as made:
        world.faults.hold(broken(), path="/ping")
        await made.canary.ping()
        assert made.waits_seconds == 0
        world.faults.hold(None)
        await made.canary.ping()
        assert len(made.sent) == 1


async def test_only_a_settled_ping_that_ingest_took_in_is_an_echo(
    database_url: str, role_url: Callable[[str], str]
) -> None:
    """As the reconciler's own role reads the log: not one that waits, nor an organiser's, nor what the API gave."""
    rows: dict[str, dict[str, object]] = {
        "evt_echo": {"outcome": "ping", "processed": True},
        "evt_waits": {},
        "evt_organisers": {"outcome": "ping", "processed": True, "tenant": "7", "verified_by": "tenant:0a1b2c3d"},
        "evt_found": {"outcome": "ping", "processed": True, "verified_by": "api"},
    }
    async with connected(database_url) as connection:
        for key, columns in rows.items():
            await insert_webhook(connection, key, **columns)
    async with Database.connect(role_url("reconciler"), application_name="canary", max_size=1) as own:
        assert await echoes_in(own, [*rows, "evt_unknown"]) == {"evt_echo"}
