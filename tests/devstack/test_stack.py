"""The whole system as one: it serves, it heals, it tells other shells, it keeps its secrets."""

import asyncio
import json
import os
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import psutil
import pytest
from dotenv import dotenv_values

from devstack.nats import NatsServer
from devstack.postgres import PostgresServer
from devstack.stack import Stack
from sluice.simulator.signature import sign
from tests.waiting import listens, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITH_NATS = ("ingest", "processor", "healthd")


def _event(event_id: str) -> bytes:
    event = {"id": event_id, "object": "event", "type": "sluice.test", "created": 1_700_000_000, "livemode": False}
    return json.dumps({**event, "api_version": "2025-01-01", "data": {"object": {"id": "x_1"}}}).encode()


async def _post(stack: Stack, event_id: str, *, secret: str | None = None) -> int:
    body = _event(event_id)
    signature = sign(body, [secret or stack.webhook_secret], timestamp=int(time.time()))
    headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
    url = f"{stack.gateway_url}/api/stripe-webhook"
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=headers, timeout=timeout) as got,
    ):
        return got.status


async def _query(stack: Stack, question: str, *arguments: object) -> object:
    connection = await asyncpg.connect(stack.database_url, timeout=10)
    try:
        return await connection.fetchval(question, *arguments, timeout=10)
    finally:
        await connection.close(timeout=5)


async def _is_processed(stack: Stack, event_id: str) -> bool:
    return bool(await _query(stack, "SELECT processed FROM webhook_logs WHERE stripe_event_id = $1", event_id))


async def test_a_signed_webhook_is_logged_and_processed(stack: Stack) -> None:
    """From the public address to the database and through the stream to the processor."""
    assert await _post(stack, "evt_first") == 200
    assert await _query(stack, "SELECT count(*) FROM webhook_logs WHERE stripe_event_id = 'evt_first'") == 1
    await until(lambda: _is_processed(stack, "evt_first"))


async def test_an_unknown_secret_is_refused(stack: Stack) -> None:
    """The gateway opens no way round the signature."""
    assert await _post(stack, "evt_forged", secret="whsec_other") == 400
    assert await _query(stack, "SELECT count(*) FROM webhook_logs WHERE stripe_event_id = 'evt_forged'") == 0


async def test_health_is_public_and_admin_ports_are_not(stack: Stack) -> None:
    """The monitor's page answers through the gateway; probes and metrics do not."""

    async def status(path: str) -> int:
        async with aiohttp.ClientSession() as session, session.get(f"{stack.gateway_url}{path}") as answer:
            return answer.status

    async def is_healthy() -> bool:
        return await status("/api/health") == 200

    await until(is_healthy)
    assert [await status(path) for path in ("/metrics", "/readyz", "/status")] == [404, 404, 404]


@pytest.mark.parametrize("name", ["ingest", "processor", "healthd"])
async def test_a_killed_service_is_started_again_and_told_of(stack: Stack, name: str) -> None:
    """As a kubelet would; other shells read the new pid."""
    before = stack.services[name].pid
    restarts = stack.services[name].restarts
    os.kill(before, signal.SIGKILL)

    async def is_back() -> bool:
        return stack.services[name].restarts == restarts + 1 and stack.services[name].is_ready

    await until(is_back)
    told = dotenv_values(stack.folder.environment)
    assert told[f"{name.upper()}_PID"] == str(stack.services[name].pid) != str(before)
    assert await _post(stack, f"evt_after_{name}") == 200
    await until(lambda: _is_processed(stack, f"evt_after_{name}"))


async def test_killed_servers_are_started_again(stack: Stack) -> None:
    """PostgreSQL and NATS too, on their old ports, so that the services find them."""
    servers: Sequence[PostgresServer | NatsServer] = (stack.servers.postgres, stack.servers.nats)
    before = [server.pid for server in servers]
    for server in servers:
        server.kill()

    async def is_accepted() -> bool:
        return await _post(stack, "evt_after_servers") == 200

    # A backend may outlive its postmaster by a moment and take one more webhook: wait for the new postmaster first.
    await until(lambda: all(server.pid != old for server, old in zip(servers, before, strict=True)), within_seconds=30)
    await until(lambda: listens(stack.servers.postgres.port), within_seconds=60)
    await until(is_accepted, within_seconds=60)
    await until(lambda: listens(stack.servers.nats.port))


async def test_a_server_stopped_on_purpose_stays_away_until_started(stack: Stack) -> None:
    """Tests of outages decide themselves how long one lasts; webhooks are accepted without NATS meanwhile."""
    await stack.servers.nats.stop()
    assert await _post(stack, "evt_without_nats") == 200
    await asyncio.sleep(1)  # long enough for a keeper that did not know to have started it
    assert not await listens(stack.servers.nats.port)
    await stack.servers.nats.restart()
    assert await listens(stack.servers.nats.port)


async def test_other_shells_are_told_privately(stack: Stack) -> None:
    """stack.env holds every promised name, mode 0600."""
    assert stat.S_IMODE(stack.folder.environment.stat().st_mode) == 0o600
    names = {"DATABASE_URL", "NATS_URL", "GATEWAY_URL", "PUBLIC_URL"}
    names |= {"STRIPE_WEBHOOK_SECRET", "STRIPE_API_KEY", "STRIPE_API_BASE"}
    names.add("CONSOLE_LINK_FILE")
    services = ("INGEST", "PROCESSOR", "HEALTHD", "RECONCILER", "CONSOLE")
    names |= {f"{name}_{what}" for name in services for what in ("ADMIN_URL", "PID")}
    assert set(dotenv_values(stack.folder.environment)) == names
    script = f". {shlex.quote(str(stack.folder.environment))} && exec env"
    shell = await asyncio.create_subprocess_exec("sh", "-c", script, stdout=subprocess.PIPE, env={"PATH": os.defpath})
    said, _ = await shell.communicate()
    told = dict(line.partition("=")[::2] for line in said.decode().splitlines())
    assert {name: told.get(name) for name in names} == dotenv_values(stack.folder.environment)


async def test_health_is_healthy_without_a_key_that_nothing_uses(stack: Stack) -> None:
    """Nothing that is switched on asks Stripe, so nothing is missing."""
    told: dict[str, Any] = {}

    async def is_healthy() -> bool:
        async with aiohttp.ClientSession() as session, session.get(f"{stack.gateway_url}/api/health") as answer:
            told.update(await answer.json())
        return bool(told["status"] == "healthy")

    await until(is_healthy)
    assert (told["reasons"], told["stripe"]["secret_key"]) == ([], "not_needed")


async def test_no_secret_is_in_a_command_line_or_an_environment(stack: Stack) -> None:
    """Every user of the machine may list processes; secrets travel in private files."""
    secrets = [stack.webhook_secret, *(stack.servers.postgres.password(role) for role in stack.services)]
    addresses = [stack.nats_url, *(stack.servers.nats.url_for(name) for name in WITH_NATS)]
    secrets += [str(urlsplit(address).password) for address in addresses]
    pids = [service.pid for service in stack.services.values()]
    for process in map(psutil.Process, [*pids, stack.servers.postgres.pid, stack.servers.nats.pid]):
        shown = " ".join([*process.cmdline(), *process.environ().values()])
        assert not any(secret in shown for secret in secrets)
    for path in Path(stack.folder.root / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_each_service_has_its_own_user_of_nats(stack: Stack) -> None:
    """And a person, who may do everything, has the address in stack.env."""
    files = {name: psutil.Process(stack.services[name].pid).environ()["NATS_URL_FILE"] for name in WITH_NATS}
    users = {name: urlsplit(await asyncio.to_thread(Path(file).read_text)).username for name, file in files.items()}
    assert users == {name: name for name in WITH_NATS}
    assert "NATS_URL_FILE" not in psutil.Process(stack.services["reconciler"].pid).environ()
    assert urlsplit(str(dotenv_values(stack.folder.environment)["NATS_URL"])).username == "sluice"


async def test_each_service_gets_only_the_secrets_it_needs(stack: Stack) -> None:
    """Only ingest verifies signatures, only the reconciler asks Stripe; each has a database role of its own."""
    holders = {
        name: {
            key
            for key in psutil.Process(service.pid).environ()
            if key.endswith(("_URL_FILE", "SECRET_FILE", "KEY_FILE"))
        }
        for name, service in stack.services.items()
    }
    common = {"DATABASE_URL_FILE", "NATS_URL_FILE"}
    assert holders == {
        "ingest": common | {"STRIPE_WEBHOOK_SECRET_FILE"},
        "processor": common,
        "healthd": common,
        "reconciler": {"DATABASE_URL_FILE", "STRIPE_API_KEY_FILE"},
        "console": {"DATABASE_URL_FILE"},
    }
    roles = await _query(
        stack, "SELECT array_agg(DISTINCT usename::text) FROM pg_stat_activity WHERE usename <> 'postgres'"
    )
    assert set(roles) <= {"ingest", "processor", "healthd", "reconciler", "console"}  # type: ignore[call-overload]
