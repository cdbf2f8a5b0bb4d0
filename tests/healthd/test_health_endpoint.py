"""``GET /api/health`` as monitors and people see it, from the real process."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest_asyncio
from pytest_aiohttp import AiohttpServer

from devstack.nats import NatsServer
from devstack.ports import free_port
from devstack.postgres import PostgresServer
from tests.healthd.admin import Admin, application
from tests.healthd.running import consumer, health_when, running, status_of, targets
from tests.waiting import until

PASSWORD = "geheim-4711"


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A monitor."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def _replica(aiohttp_server: AiohttpServer) -> tuple[Admin, int]:
    admin = Admin()
    server = await aiohttp_server(application(admin))
    return admin, server.port or 0


@pytest_asyncio.fixture
async def ingest(aiohttp_server: AiohttpServer) -> tuple[Admin, int]:
    """A replica of ingest."""
    return await _replica(aiohttp_server)


@pytest_asyncio.fixture
async def processor(aiohttp_server: AiohttpServer) -> tuple[Admin, int]:
    """A replica of the processor."""
    return await _replica(aiohttp_server)


async def test_everything_well_is_200_and_says_so(
    tmp_path: Path,
    client: aiohttp.ClientSession,
    database_url: str,
    role_url: Callable[[str], str],
    nats_server: NatsServer,
    ingest: tuple[Admin, int],
    processor: tuple[Admin, int],
) -> None:
    """The public answer has overall, database and stripe and no more; the admin port has the whole picture."""
    settings = {
        "DATABASE_URL": role_url("healthd"),
        "NATS_URL": nats_server.url,
        "HEALTH_TARGETS": targets(ingest[1], processor[1]),
    }
    async with consumer(nats_server, database_url), running(tmp_path, **settings) as healthd:
        public = await health_when(client, healthd.public, lambda status, _: status == 200)
        whole = await health_when(client, healthd.admin, lambda _, body: body["status"] == "healthy")
        metrics = await (await client.get(f"{healthd.admin}/metrics")).text()
        assert (await client.get(f"{healthd.admin}/readyz")).status == 200
    assert set(public) == {"status", "timestamp", "database", "stripe"}
    assert set(public["database"]) == {"status", "latency_ms", "age_seconds"}  # type: ignore[call-overload]
    assert public["stripe"] == {"status": "healthy", "webhook_secret": "ok", "secret_key": "ok"}
    assert whole["reasons"] == []
    assert whole["webhooks"]["backlog"] == whole["webhooks"]["dead"] == 0  # type: ignore[index]
    assert whole["services"]["ingest"]["replicas"][0]["pool"]["utilisation"] == 0.25  # type: ignore[index]
    assert f'healthd_pool_utilisation{{replica="127.0.0.1:{ingest[1]}",service="ingest"}} 0.25' in metrics
    assert "healthd_database_connections_max" in metrics


async def test_health_follows_what_happens(
    tmp_path: Path,
    client: aiohttp.ClientSession,
    database_url: str,
    role_url: Callable[[str], str],
    nats_server: NatsServer,
    ingest: tuple[Admin, int],
    processor: tuple[Admin, int],
) -> None:
    """A missing key and a stopped NATS are 200 degraded, a missing webhook secret is 503, and all of it heals."""
    settings = {
        "DATABASE_URL": role_url("healthd"),
        "NATS_URL": nats_server.url,
        "HEALTH_TARGETS": targets(ingest[1], processor[1]),
        "HEALTH_DETAILS": "1",
    }
    async with consumer(nats_server, database_url), running(tmp_path, **settings) as healthd:
        await health_when(client, healthd.public, lambda status, _: status == 200)
        processor[0].status = {"ready": True, "configuration": {"stripe_secret_key": "missing"}}
        await health_when(
            client, healthd.public, lambda *answer: answer[0] == 200 and _has("secret_key_missing", answer)
        )
        await nats_server.stop()
        await health_when(client, healthd.public, lambda *answer: answer[0] == 200 and _has("stream_down", answer))
        ingest[0].status = {"ready": True, "configuration": {"stripe_webhook_secret": "missing"}}
        await health_when(
            client, healthd.public, lambda *answer: answer[0] == 503 and _has("webhook_secret_missing", answer)
        )
        ingest[0].status = {"ready": True, "configuration": {"stripe_webhook_secret": "ok"}}
        await health_when(client, healthd.public, lambda status, _: status == 200)


def _has(reason: str, answer: tuple[int, dict[str, object]]) -> bool:
    return reason in json.dumps(answer[1].get("reasons", []))


async def test_healthd_lives_without_anything_and_tells_no_secret(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    """No PostgreSQL, no NATS, no replica: it answers 503 at once, and no address, user or password is in any output."""
    settings = {
        "DATABASE_URL": f"postgresql://verraeter:{PASSWORD}@127.0.0.1:{free_port()}/innen",
        "NATS_URL": f"nats://verraeter:{PASSWORD}@127.0.0.1:{free_port()}",
        "HEALTH_TARGETS": targets(free_port(), free_port()),
    }
    async with running(tmp_path, **settings) as healthd:
        body = await health_when(client, healthd.public, lambda _, body: body["status"] == "unhealthy")
        assert (await client.get(f"{healthd.admin}/livez")).status == 200
        await until(lambda: status_of(client, f"{healthd.admin}/readyz", 200))
        said = [json.dumps(body)]
        said += [
            await (await client.get(healthd.admin + path)).text() for path in ("/api/health", "/status", "/metrics")
        ]
        said.append(healthd.log.read_text())
    assert "services" not in body
    for secret in (PASSWORD, "verraeter", "innen", "postgresql://"):
        assert not [text for text in said if secret in text]


async def test_a_stopped_postgresql_is_503_and_heals(
    tmp_path: Path,
    client: aiohttp.ClientSession,
    session_folder: Path,
    ingest: tuple[Admin, int],
    processor: tuple[Admin, int],
) -> None:
    """Health never hangs on a database that is gone, and sees it come back."""
    server = await PostgresServer.start(session_folder / "postgres-of-health-endpoint")
    settings = {"DATABASE_URL": server.url("postgres"), "HEALTH_TARGETS": targets(ingest[1], processor[1])}
    try:
        async with running(tmp_path, HEALTH_DETAILS="1", **settings) as healthd:
            await health_when(client, healthd.public, _database_is("up"))
            await server.stop()
            down = await health_when(client, healthd.public, _database_is("down"))
            assert down["database"]["latency_ms"] is not None  # type: ignore[index]
            await server.restart()
            await health_when(client, healthd.public, _database_is("up"))
    finally:
        await server.stop()


def _database_is(wanted: str) -> Callable[[int, dict[str, object]], bool]:
    def is_so(_: int, body: dict[str, object]) -> bool:
        is_unknown = body["database"]["status"] == "unknown"  # type: ignore[index]
        return not is_unknown and _has("database_down", (0, body)) == (wanted == "down")

    return is_so


async def test_a_taken_port_ends_it_with_a_sentence(tmp_path: Path) -> None:
    """The message names the taken port and the cure; healthd neither hangs nor serves half."""
    log = tmp_path / "healthd.log"
    with socket.create_server(("127.0.0.1", 0)) as holder, log.open("wb") as stderr:
        port = str(holder.getsockname()[1])
        environment = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "HEALTH_TARGETS": targets(1, 1)}
        ports = {"LISTEN_HOST": "127.0.0.1", "LISTEN_PORT": port, "ADMIN_HOST": "127.0.0.1", "ADMIN_PORT": "0"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "healthd", env=environment | ports, stderr=stderr
        )
        assert await asyncio.wait_for(process.wait(), 15) == 78
    assert "Traceback" not in log.read_text()
    assert f"cannot listen on 127.0.0.1:{port}" in log.read_text()
    assert "set LISTEN_PORT" in log.read_text()


async def test_refusals_are_json_like_everywhere(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    """Another path is 404, another method 405 with Allow; the admin pages are not on the public port."""
    settings = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "HEALTH_TARGETS": targets(free_port(), free_port())}
    async with running(tmp_path, **settings) as healthd:
        await health_when(client, healthd.public, lambda status, _: status == 503)
        for path in ("/", "/metrics", "/status", "/livez", "/api/health/", "/%00"):
            async with client.get(healthd.public + path) as response:
                assert (response.status, (await response.json())["error"]["code"]) == (404, "not_found")
        async with client.post(f"{healthd.public}/api/health", data=b"x" * 100_000) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (405, "method_not_allowed")
            assert "GET" in response.headers["Allow"]
        async with client.head(f"{healthd.public}/api/health") as response:
            assert response.status == 503
            assert response.headers["Cache-Control"] == "no-store"
