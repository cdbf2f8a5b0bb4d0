"""The endpoint as the service sees it, through Stripe's own library: what changes there shows in metrics and status."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from reconciler.endpoint.audit import Needed
from reconciler.endpoint.findings import Name, Weight
from reconciler.endpoint.proofs import Proofs
from reconciler.endpoint.watch import EndpointWatch, subscribed_types
from sluice.simulator.stripe_api.answers import Refusal
from sluice.simulator.stripe_api.faults import Fault, broken, too_many
from sluice.simulator.stripe_api.offline_stripe import Key, OfflineStripe
from tests.metrics import counted
from tests.reconciler.asking import asking
from tests.reconciler.endpoint.registered import NEEDED, TYPES, destination, endpoint, register
from tests.stripe_world import TEST_KEY, offline_stripe
from tests.waiting import until

OLD, NEW = "platform:ffff0000", "platform:0a1b2c3d"
PROVEN = Proofs({OLD: 1_790_000_000.0}, configured=(OLD,))
LISTS = "/v1/webhook_endpoints"


@dataclass
class Watching:
    """A watch that looks when a test says so."""

    watch: EndpointWatch
    proofs: Proofs | None = PROVEN

    async def look(self) -> list[object]:
        """Look; the names of what is wrong."""
        await self.watch.look()
        status = self.watch.status()
        told = {weight: status[f"{weight}s"] for weight in (Weight.FAULT, Weight.WARNING)}
        assert told == {weight: _shown(weight) for weight in told}
        return [*_shown(Weight.FAULT), *_shown(Weight.WARNING)]


def _shown(weight: Weight) -> list[str]:
    """Findings of this weight, as Prometheus sees them."""
    return [
        name.value for name in sorted(Name) if counted("endpoint_findings", finding=name.value, weight=weight.value)
    ]


@asynccontextmanager
async def watching(
    world: OfflineStripe, *, needed: Needed = NEEDED, key: str | None = TEST_KEY, request_seconds: float = 5
) -> AsyncIterator[Watching]:
    """A watch of this world."""
    async with asking(world, key=key, request_seconds=request_seconds) as api:

        async def proofs() -> Proofs | None:
            return found.proofs

        found = Watching(EndpointWatch(needed, {False: api}, proofs=proofs, types=subscribed_types))
        yield found


async def test_an_endpoint_that_is_disabled_and_enabled_again() -> None:
    """The gauge and the finding follow, and tell when Stripe was asked."""
    world = offline_stripe()
    async with watching(world) as watched:
        register(world, endpoint())
        assert await watched.look() == []
        assert counted("endpoint_enabled", mode="test") == 1
        register(world, endpoint(status="disabled"))
        assert await watched.look() == ["disabled"]
        assert counted("endpoint_enabled", mode="test") == 0
        register(world, endpoint())
        assert await watched.look() == []
        assert counted("endpoint_enabled", mode="test") == 1
        assert (counted("endpoint_last_look_timestamp_seconds", mode="test") or 0) > 1_700_000_000


async def test_a_destination_for_pings_alone_does_not_hide_a_disabled_endpoint() -> None:
    """Stripe sends nothing that happens, and the gauge says so."""
    world = offline_stripe()
    async with watching(world) as watched:
        register(world, endpoint(status="disabled"), destination(enabled_events=["v2.core.event_destination.ping"]))
        assert "disabled" in await watched.look()
        assert counted("endpoint_enabled", mode="test") == 0


async def test_a_secret_that_is_rolled() -> None:
    """The new one is unproven until it has verified a webhook."""
    world = offline_stripe()
    register(world, endpoint())
    async with watching(world) as watched:
        watched.proofs = replace(PROVEN, configured=(NEW, OLD))
        assert await watched.look() == ["secret_unproven"]
        watched.proofs = Proofs({OLD: 1_790_000_000.0, NEW: 1_790_000_060.0}, configured=(NEW, OLD))
        assert await watched.look() == []


async def test_a_type_that_is_unsubscribed() -> None:
    """Stripe would say nothing."""
    world = offline_stripe()
    async with watching(world) as watched:
        register(world, endpoint(types=TYPES - {"charge.refunded"}))
        assert await watched.look() == ["types_missing"]


async def test_what_is_worth_a_note_is_no_finding_of_the_service() -> None:
    """A superfluous type raises no alarm."""
    world = offline_stripe()
    register(world, endpoint(types=TYPES | {"topup.created"}))
    async with watching(world) as watched:
        assert await watched.look() == []


@pytest.mark.parametrize("fault", [broken(), Fault(is_cut_off=True), Fault(late_seconds=5)])
async def test_what_was_seen_stands_while_stripe_is_away(fault: Fault) -> None:
    """500, a cut answer, none in time: neither an alarm nor an all-clear, and the time of the last look stays."""
    world = offline_stripe()
    register(world, endpoint(status="disabled"))
    async with watching(world, request_seconds=0.2) as watched:
        await watched.look()
        seen_at = counted("endpoint_last_look_timestamp_seconds", mode="test")
        world.faults.hold(fault)
        assert await watched.look() == ["disabled"]
        assert counted("endpoint_last_look_timestamp_seconds", mode="test") == seen_at


async def test_a_rate_limit_is_waited_for() -> None:
    """After 429 the look goes on."""
    world = offline_stripe()
    register(world, endpoint())
    world.faults.add([too_many(retry_after_seconds=0)])
    async with watching(world) as watched:
        assert await watched.look() == []
        assert world.requests.count(f"{LISTS}?limit=100") == 2


@pytest.mark.parametrize("key", [Key(TEST_KEY, is_revoked=True), Key(TEST_KEY, frozenset({"rak_event_read"}))])
async def test_a_key_that_does_not_let_us_look_is_a_finding(key: Key) -> None:
    """Revoked, or without the right: no waiting mends that; the last state of the endpoint stays."""
    world = offline_stripe()
    register(world, endpoint())
    async with watching(world) as watched:
        await watched.look()
        world.keys[TEST_KEY] = key
        assert await watched.look() == ["unseen"]
        assert counted("endpoint_enabled", mode="test") == 1


async def test_a_list_that_cannot_be_understood_changes_nothing() -> None:
    """An entry without a URL is not taken for "not registered"."""
    world = offline_stripe()
    async with watching(world) as watched:
        register(world, endpoint())
        assert await watched.look() == []
        world.endpoints[False]["we_2"] = {"id": "we_2", "object": "webhook_endpoint"}
        assert await watched.look() == []


async def test_destinations_that_may_not_be_listed_do_not_hide_endpoints() -> None:
    """Only thin ones go unjudged then."""
    world = offline_stripe()
    register(world, endpoint())
    world.faults.hold(Fault(Refusal(403, "The 'rak_event_destination_read' permission")), path="event_destinations")
    async with watching(world) as watched:
        assert await watched.look() == []


async def test_an_endpoint_that_both_lists_have_counts_once() -> None:
    """Stripe's newer list holds the endpoints of the older one too."""
    world = offline_stripe()
    twin = destination("we_1", event_payload="snapshot", enabled_events=sorted(TYPES), snapshot_api_version=None)
    other_id = {**twin, "id": "ed_9"}
    register(world, endpoint(api_version=None))
    for same in (twin, other_id):
        world.destinations[False] = {str(same["id"]): same}
        async with watching(world) as watched:
            assert await watched.look() == ["api_version_floats"]


async def test_nothing_is_shown_once_another_replica_looks() -> None:
    """A gauge that stands still would say what is no longer so."""
    world = offline_stripe()
    async with watching(world) as watched:
        running = asyncio.create_task(watched.watch.run())
        await until(lambda: watched.watch.status()["faults"] == ["not_registered"])
        running.cancel()
        await asyncio.wait([running])
        assert watched.watch.status() == {"faults": [], "warnings": []}
        assert counted("endpoint_findings", finding="not_registered", weight="fault") is None


async def test_the_types_are_those_of_the_installed_handlers() -> None:
    """As ``sluice events`` prints them."""
    assert await subscribed_types() == TYPES


async def test_other_packages_code_gets_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The process that loads it has neither Stripe's key nor the database's password."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nenv | cut -d= -f1\n")
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    for name in ("STRIPE_API_KEY", "STRIPE_API_KEY_FILE", "DATABASE_URL", "DATABASE_URL_FILE", "MINE"):
        monkeypatch.setenv(name, "x")
    given = await subscribed_types()
    assert "MINE" in given
    assert not [name for name in given if name.startswith(("STRIPE", "DATABASE"))]


async def test_without_that_process_our_own_types_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose handlers cannot be loaded does not stop the look."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert await subscribed_types() == TYPES
