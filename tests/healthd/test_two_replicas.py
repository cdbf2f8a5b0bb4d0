"""Two healthd that watch the same say the same, even one started a moment ago; a start raises no alarm."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from devstack.nats import NatsServer
from devstack.postgres import PostgresServer
from devstack.roles import make_login_roles
from devstack.schema import apply_migrations
from tests.healthd.admin import Admin, serving
from tests.healthd.running import Healthd, consumer, running, targets
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERIOD_SECONDS = "0.5"
UNHURRIED = {"HEALTH_PERIOD_SECONDS": "5"}  # a slow look is no trouble, and the first comes at once
MOMENTS = {"timestamp", "age_seconds", "latency_ms", "used", "uptime_seconds"}
ITS_OWN = MOMENTS | {"oldest_unprocessed_age_seconds", "oldest_untried_age_seconds"}
"""What two replicas may say differently: when each looked, and figures of that moment."""
SEEN_BEFORE = {
    *("connections", "backlog", "failing", "parked", "dead", "is_lower_bound", "findings", "pending", "ack_pending"),
    *("accounts", "behind_seconds", "missing", "refused_accounts", "thin_events_waiting"),
    *("in_force", "since", "webhooks_waiting"),
}
"""What a replica that was started during the trouble cannot say: figures of the last good look, told with their age."""

Answer = Mapping[str, Any]


@dataclass
class World:
    """Sources for both to watch."""

    folder: Path
    postgres: PostgresServer
    nats: NatsServer
    ingest: Admin
    processor: Admin
    settings: Mapping[str, str]
    client: aiohttp.ClientSession

    @asynccontextmanager
    async def healthd(self, name: str, **environment: str) -> AsyncIterator[Healthd]:
        """One more replica, with the same settings as every other."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        async with running(folder, **{**self.settings, **environment}) as healthd:
            yield healthd

    async def answer(self, healthd: Healthd) -> Answer:
        """All that it says of the whole, with the status code."""
        async with self.client.get(f"{healthd.public}/api/health") as response:
            body: dict[str, Any] = await response.json()
            return {**body, "code": response.status}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(session_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """PostgreSQL and NATS of their own, for they are stopped, and a replica of either service."""
    folder = tmp_path_factory.mktemp("two-healthd")
    postgres = await PostgresServer.start(session_folder / "postgres-of-two-healthd")
    nats = await NatsServer.start(folder / "nats")
    ingest, processor = Admin(), Admin()
    try:
        await apply_migrations(postgres.url("postgres"))
        await make_login_roles(postgres.url("postgres"), postgres)
        async with (
            consumer(nats, postgres.url("postgres")),
            serving(ingest) as ingest_port,
            serving(processor) as processor_port,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client,
        ):
            settings = {
                "DATABASE_URL": postgres.url("postgres", "healthd"),
                "NATS_URL": nats.url,
                "HEALTH_TARGETS": targets(ingest_port, processor_port),
                "HEALTH_DETAILS": "1",
                "HEALTH_PERIOD_SECONDS": PERIOD_SECONDS,
            }
            yield World(folder, postgres, nats, ingest, processor, settings, client)
    finally:
        await nats.stop()
        await postgres.stop()


@asynccontextmanager
async def calm(_: World) -> AsyncIterator[None]:
    """Nothing is wrong."""
    yield


@asynccontextmanager
async def postgresql_away(world: World) -> AsyncIterator[None]:
    """Stopped, and started again."""
    await world.postgres.stop()
    yield
    await world.postgres.restart()


@asynccontextmanager
async def slow_processor(world: World) -> AsyncIterator[None]:
    """An address that takes the connection and does not answer."""
    async with _hanging(world.processor):
        yield


@asynccontextmanager
async def slow_ingest(world: World) -> AsyncIterator[None]:
    """The service without which nothing is taken in."""
    async with _hanging(world.ingest):
        yield


@asynccontextmanager
async def _hanging(admin: Admin) -> AsyncIterator[None]:
    admin.let_go.clear()
    admin.is_hanging = True
    yield
    admin.is_hanging = False
    admin.let_go.set()


@asynccontextmanager
async def late_backlog(world: World) -> AsyncIterator[None]:
    """A webhook of an hour ago, not processed."""
    row = (
        "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, next_attempt_at, created_at)"
        " VALUES ('evt_late', 'test.any', '{}', now() + interval '1 day', now() - interval '1 hour')"
    )
    await _execute(world, row)
    yield
    await _execute(world, "DELETE FROM webhook_logs")


@asynccontextmanager
async def paused(world: World) -> AsyncIterator[None]:
    """An operator lets everything wait."""
    await _execute(world, "SELECT sluice_begin_pause('all', NULL, 'why', 'ada')")
    yield
    await _execute(world, "SELECT sluice_end_pauses('{1}', 'mended', 'ada')")


async def _execute(world: World, statement: str) -> None:
    connection = await asyncpg.connect(world.postgres.url("postgres"), timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close(timeout=5)


Trouble = Callable[[World], AbstractAsyncContextManager[None]]
MISSING = {"HEALTH_REPLICAS": "ingest=1,processor=2"}  # and there is one


@pytest.mark.parametrize(
    ("trouble", "environment", "code", "reasons"),
    [
        (calm, {}, 200, set()),
        (calm, MISSING, 200, {"replica_missing"}),
        (slow_processor, {}, 200, {"service_down", "replica_down", "secret_key_unknown"}),
        (slow_ingest, {}, 503, {"service_down", "replica_down", "webhook_secret_unknown"}),
        (late_backlog, {}, 200, {"backlog_old"}),
        (paused, {}, 200, {"paused"}),
        (postgresql_away, {}, 503, {"database_down", "webhooks_unknown", "schema_unknown"}),
    ],
    ids=["calm", "missing_replica", "slow_processor", "slow_ingest", "late_backlog", "paused", "postgresql_away"],
)
async def test_two_replicas_say_the_same(
    world: World, trouble: Trouble, environment: Mapping[str, str], code: int, reasons: set[str]
) -> None:
    """Status code, verdict, reasons and every component; so does a third that was started in the midst of it."""
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(world.healthd(name, **environment)) for name in "ab"]
        usual = {one["reason"] for one in (await _agreed(world, first, second))["reasons"]}
        async with trouble(world):
            told = await _agreed(world, first, second, with_reasons=reasons)
            assert told["code"] == code
            third = await stack.enter_async_context(world.healthd("c", **environment))
            await _agreed(world, first, second, third, with_reasons=reasons, apart_from=ITS_OWN | SEEN_BEFORE)
        await _agreed(world, first, second, third, with_reasons=usual)


async def _agreed(
    world: World, *replicas: Healthd, with_reasons: set[str] | None = None, apart_from: set[str] = ITS_OWN
) -> Answer:
    """Wait until all agree, and return their answer."""
    answers: list[Answer] = []

    async def is_one() -> bool:
        try:
            answers[:] = [_without(await world.answer(replica), apart_from) for replica in replicas]
        except aiohttp.ClientConnectionError:
            return False
        said = {one["reason"] for one in answers[0]["reasons"]}
        return all(answer == answers[0] for answer in answers) and _is_wanted(said, with_reasons)

    try:
        await until(is_one, what=f"agreement on {with_reasons}")
    except AssertionError as error:
        error.add_note(json.dumps(answers, indent=1))
        raise
    return answers[0]


def _is_wanted(said: set[str], wanted: set[str] | None) -> bool:
    """Without a wish: whatever it is, as long as it rests on a look."""
    return said == wanted if wanted is not None else not any(reason.endswith("_unknown") for reason in said)


def _without(told: Any, keys: set[str]) -> Any:
    if isinstance(told, Mapping):
        return {key: _without(value, keys) for key, value in told.items() if key not in keys}
    return [_without(value, keys) for value in told] if isinstance(told, list) else told


async def test_a_start_raises_no_alarm(world: World) -> None:
    """Whatever moment a scrape meets, no metric tells of trouble; once ready, the answer is what it will stay."""
    async with world.healthd("a", **UNHURRIED) as old:
        calm_answer = await _agreed(world, old, with_reasons=set())
        for _ in range(3):
            async with world.healthd("b", **UNHURRIED) as new:
                await until(lambda new=new: _is_quiet_until_ready(world, new))  # type: ignore[misc]
                for _ in range(20):
                    assert _without(await world.answer(new), ITS_OWN) == calm_answer


async def _is_quiet_until_ready(world: World, healthd: Healthd) -> bool:
    try:
        async with world.client.get(f"{healthd.admin}/metrics") as response:
            alarms = _alarms(await response.text())
        assert not alarms
        async with world.client.get(f"{healthd.admin}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


def _alarms(text: str) -> list[object]:
    """Samples in which an alert could see an outage."""
    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("healthd_")
    ]
    return [
        sample
        for sample in samples
        if (sample.name == "healthd_status" and sample.value and sample.labels["status"] != "healthy")
        or sample.name == "healthd_finding"
        or (sample.name.endswith(("_up", "_ready", "_live_replicas")) and sample.value == 0)
        or (sample.name == "healthd_poll_age_seconds" and sample.value > 5)
    ]
