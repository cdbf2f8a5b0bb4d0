"""A process that may open no more files: what it holds goes on, newcomers are refused, and all heals by itself."""

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.ingest.webhooks import SECRET, signed, webhook
from tests.system.alone import NAMES, Alone, Surroundings, get
from tests.waiting import until

_GIVEN_UP_MEANWHILE = 8
"""More clients than the numbers that a process may give up while it is looked at."""
ADMIN = ("/livez", "/readyz", "/status", "/metrics")


@pytest.mark.parametrize("name", NAMES)
async def test_probes_and_status_answer_without_descriptors(
    name: str, role_url: Callable[[str], str], nats_url: str, tmp_path: Path
) -> None:
    """Every connected client has an answer from every page; none has 500; the log holds no trace."""
    log = tmp_path / "log"
    with log.open("wb") as stream:
        surroundings = Surroundings(role_url, nats_url, stream=stream.fileno())
        async with surroundings.running(name) as (service,), aiohttp.ClientSession(_base(service)) as kept:
            assert await _statuses(kept) == [200] * len(ADMIN)
            with _no_more_files(service):
                assert await _statuses(kept) == [200] * len(ADMIN)
                began = time.monotonic()
                assert (await get(f"{_base(service)}/livez"))[0] == 0
                assert time.monotonic() - began < 5, "refused, not left waiting"
                assert await _statuses(kept) == [200] * len(ADMIN)
            await until(service.is_ready)
            assert await service.stop() == 0
    assert "Traceback" not in log.read_text()


async def test_a_client_that_is_connected_is_served_without_descriptors(
    role_url: Callable[[str], str], nats_url: str, tmp_path: Path
) -> None:
    """Its webhooks are acknowledged over connections that ingest holds; a secret that cannot be read again stays."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    surroundings = Surroundings(role_url, nats_url)
    async with surroundings.running("ingest", STRIPE_WEBHOOK_SECRET_FILE=str(secret)) as (ingest,):
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{ingest.public_port}") as client,
            aiohttp.ClientSession(_base(ingest)) as kept,
        ):
            assert await _deliver(client) == 200
            assert await _statuses(kept) == [200] * len(ADMIN)
            with _no_more_files(ingest):
                secret.write_text(f"{SECRET},whsec_another")
                await until(lambda: _counts_a_reload_that_failed(client, kept))
                assert [await _deliver(client) for _ in range(3)] == [200] * 3
        assert await ingest.stop() == 0


@contextmanager
def _no_more_files(service: Alone) -> Iterator[None]:
    """Lower a process's limit to what it holds, and let clients take the numbers that are free below it."""
    pid = service.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    held = {int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir()}
    with ExitStack() as clients:
        for _ in set(range(max(held))) - held:
            clients.enter_context(socket.create_connection(("127.0.0.1", service.admin_port)))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(held) + 1, limits[1]))
        for _ in range(_GIVEN_UP_MEANWHILE):
            clients.enter_context(socket.create_connection(("127.0.0.1", service.admin_port)))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


async def _statuses(client: aiohttp.ClientSession) -> list[int]:
    statuses = []
    for path in ADMIN:
        async with client.get(path, timeout=aiohttp.ClientTimeout(10)) as response:
            statuses.append(response.status)
            await response.read()
    return statuses


async def _deliver(client: aiohttp.ClientSession) -> int:
    body = webhook()
    async with client.post("/api/stripe-webhook", data=body, headers=signed(body)) as response:
        await response.read()
        return response.status


async def _counts_a_reload_that_failed(client: aiohttp.ClientSession, admin: aiohttp.ClientSession) -> bool:
    assert await _deliver(client) == 200
    async with admin.get("/metrics") as response:
        return 'secret_reload_failures_total{name="STRIPE_WEBHOOK_SECRET"} 1.0' in await response.text()


def _base(service: Alone) -> str:
    return f"http://127.0.0.1:{service.admin_port}"
