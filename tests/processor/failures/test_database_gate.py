"""PostgreSQL stopped and started: nothing is fetched meanwhile, no attempt is burned, nothing needs a restart."""

import asyncio
import re
from pathlib import Path

import aiohttp
import nats
import pytest

from devstack.ports import free_port
from devstack.postgres import PostgresServer
from processor.failures.database_gate import FIRST_SECONDS, FUNCTIONS, LONGEST_SECONDS, DatabaseGate
from sluice.contract.subjects import CONSUMER, STREAM
from sluice.postgres.pool import Database
from sluice.runtime import logs
from tests.processor.harness import Harness, event
from tests.processor.processes import Processes
from tests.processor.relay import HandRelay, open_relay
from tests.waiting import until

ROOT = Path(__file__).parents[3]
FILES = [
    *(ROOT / "processor").rglob("*.sql"),
    *(ROOT / "sluice" / "inbox" / name for name in ("claims.sql", "failures.sql", "pauses.sql")),
]


async def test_what_is_held_while_postgres_is_away_takes_effect_when_it_is_back(
    own_postgres: PostgresServer, own_harness: Harness
) -> None:
    """The batch waits in memory; no attempt is burned and no redelivery is needed."""
    messages = await own_harness.recorded(*(event() for _ in range(20)))
    await own_postgres.stop()
    working = asyncio.create_task(own_harness.take(*messages))
    await own_postgres.restart()
    async with asyncio.timeout(15):
        await working
    assert await own_harness.effects() == {message.event.stripe_event_id: 1 for message in messages}
    assert all(message.acknowledgements == 1 for message in messages)
    assert await _most_attempts(own_harness) == 0


async def test_a_processor_ahead_of_its_migration_burns_no_attempt(
    own_postgres: PostgresServer, own_harness: Harness, nats_url: str
) -> None:
    """Deployed first and migrated after: webhooks wait, the processor says for what, and begins by itself."""
    early = event()
    await own_harness.record(early)
    async with open_relay(own_postgres.url(), nats_url) as relay:
        processes = Processes(own_harness, relay, own_postgres.url(), nats_url)
        await own_harness.database.execute("ALTER FUNCTION sluice_claim_batch RENAME TO not_yet_there")
        admin_port = free_port()
        async with processes.processor(ADMIN_PORT=str(admin_port)):
            await until(relay.has_consumer)
            await relay.publish(early)
            await until(lambda: _says(admin_port, "waits_for_migration"))
            await until(lambda: _is_in_outage(admin_port))
            await until(lambda: _asks_for_the_migration(admin_port))
            await own_harness.database.execute("ALTER FUNCTION not_yet_there RENAME TO sluice_claim_batch")
            await until(lambda: processes.are_settled([early]))
            assert not await _says(admin_port, "waits_for_migration")
            await until(lambda: _is_ready(admin_port))
    assert await own_harness.effects() == {early.stripe_event_id: 1}
    assert await _most_attempts(own_harness) == 0


async def test_what_the_schema_lacks_is_said_once(database: Database, capfd: pytest.CaptureFixture[str]) -> None:
    """A processor that waits for hours must not fill its log, nor leave the operator in doubt."""
    logs.configure("processor", "info")
    database_gate = DatabaseGate(database, asyncio.Event())
    await database.execute("ALTER FUNCTION sluice_claim_batch RENAME TO not_yet_there")
    assert [await database_gate.has_answer() for _ in range(3)] == [False] * 3
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "schema_is_behind" in line]
    assert "sluice_claim_batch" in line
    assert "sluice migrate" in line


async def test_a_column_that_is_not_yet_there_is_waited_for(database: Database) -> None:
    """A processor ahead of its migration would fail each event of a subscription, one after the other."""
    database_gate = DatabaseGate(database, asyncio.Event())
    assert await database_gate.has_answer()
    await database.execute("ALTER TABLE subscription RENAME COLUMN newest_second TO not_yet_there")
    assert not await database_gate.has_answer()
    assert database_gate.waits_for_migration
    await database.execute("ALTER TABLE subscription RENAME COLUMN not_yet_there TO newest_second")
    assert await database_gate.has_answer()


def test_every_function_that_is_called_is_asked_for() -> None:
    """Else an event fails for want of it."""
    called = (re.findall(r"\b(sluice_\w+)\(", file.read_text()) for file in FILES)
    assert {name for names in called for name in names} == set(FUNCTIONS)


async def test_nothing_is_fetched_while_postgres_is_away(
    own_postgres: PostgresServer, own_harness: Harness, nats_url: str
) -> None:
    """A long outage must not turn the whole backlog into suspects that run alone."""
    before, first, *rest = [event() for _ in range(40)]
    await own_harness.record(before, first, *rest)
    async with open_relay(own_postgres.url(), nats_url) as relay:
        processes = Processes(own_harness, relay, own_postgres.url(), nats_url)
        admin_port = free_port()
        async with processes.processor(ADMIN_PORT=str(admin_port)) as process:
            await until(relay.has_consumer)
            await relay.publish(before)
            await until(lambda: processes.are_settled([before]))
            await until(relay.is_all_acknowledged)
            await own_postgres.stop()
            await relay.publish(first)
            await until(lambda: _is_in_outage(admin_port))
            await until(lambda: _waits_for_nothing(nats_url))  # a pull of another loop may have been under way
            await relay.publish(*rest)
            await until(lambda: _are_pending(relay, len(rest)))
            assert (await relay.stream.consumer_state(CONSUMER)).ack_pending == 1
            await own_postgres.restart()
            await until(lambda: processes.are_settled([first, *rest]))
            assert process.returncode is None
    assert await own_harness.effects() == {each.stripe_event_id: 1 for each in (before, first, *rest)}
    assert await _most_attempts(own_harness) == 0


async def test_pauses_grow_and_only_success_makes_them_short_again(database: Database) -> None:
    """A server that answers a probe and refuses the work must not be hammered."""
    database_gate, loop = DatabaseGate(database, asyncio.Event()), asyncio.get_running_loop()
    assert database_gate.is_on

    async def pause() -> float:
        started = loop.time()
        await database_gate.pause()
        return loop.time() - started

    async def first_pause() -> float:
        seconds = []
        for _ in range(5):  # the machine may stall in one of them
            database_gate.work_succeeded()
            seconds.append(await pause())
        return min(seconds)

    assert await first_pause() <= FIRST_SECONDS * 1.5
    _, third = [await pause() for _ in range(2)]
    assert third >= FIRST_SECONDS * 2
    database_gate.is_over()
    assert await pause() >= FIRST_SECONDS * 4
    assert await first_pause() <= FIRST_SECONDS * 1.5
    assert LONGEST_SECONDS <= 5


async def test_a_stop_ends_a_pause(database: Database) -> None:
    """A shutdown does not wait for PostgreSQL."""
    stop = asyncio.Event()
    database_gate = DatabaseGate(database, stop)
    stop.set()
    async with asyncio.timeout(1):
        for _ in range(20):
            await database_gate.pause()


async def _is_in_outage(admin_port: int) -> bool:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{admin_port}/metrics") as response:
        return "processor_outage 1.0" in (await response.text()).splitlines()


async def _says(admin_port: int, what: str) -> bool:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{admin_port}/status") as response:
        return (await response.json())["work"][what] is True


async def _are_pending(relay: HandRelay, messages: int) -> bool:
    """The server counts behind the answer to a publication."""
    return (await relay.stream.consumer_state(CONSUMER)).pending == messages


async def _waits_for_nothing(nats_url: str) -> bool:
    client = await nats.connect(nats_url)
    try:
        consumer = await client.jetstream().consumer_info(STREAM, CONSUMER)
    finally:
        await client.close()
    waiting: int | None = consumer.num_waiting
    return waiting == 0


async def _most_attempts(harness: Harness) -> int:
    rows = await harness.database.fetch("SELECT max(processing_attempts + solo_starts) AS most FROM webhook_logs")
    most = rows[0]["most"]
    assert isinstance(most, int)
    return most


async def _readiness(port: int) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz?verbose") as answer:
        reason = next((line for line in (await answer.text()).splitlines() if "first_contact" in line), "")
        return answer.status, reason.rpartition("; ")[2]


async def _asks_for_the_migration(admin_port: int) -> bool:
    return await _readiness(admin_port) == (503, "run sluice migrate")


async def _is_ready(port: int) -> bool:
    return (await _readiness(port))[0] == 200
