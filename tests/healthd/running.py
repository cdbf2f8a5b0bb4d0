"""A real healthd process, and what it watches."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from devstack.nats import NatsServer
from devstack.ports import free_port
from sluice.contract.subjects import ALL_SUBJECTS, CONSUMER, STREAM
from sluice.nats.jetstream import ConsumerSpec, JetStream, StreamSpec
from sluice.runtime.settings import ServiceSettings
from tests.waiting import until

PERIOD_SECONDS = "0.25"


@dataclass(frozen=True)
class Healthd:
    """A running healthd: its two ports, and what it has said."""

    public: str
    admin: str
    log: Path
    process: asyncio.subprocess.Process


@asynccontextmanager
async def running(folder: Path, **environment: str) -> AsyncIterator[Healthd]:
    """The real process with these settings; ended by SIGTERM, and it must end well."""
    public, admin = free_port(), free_port()
    log = folder / "healthd.log"
    settings = {
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": str(public),
        "ADMIN_HOST": "127.0.0.1",
        "ADMIN_PORT": str(admin),
        "LINGER_SECONDS": "0",
        "HEALTH_PERIOD_SECONDS": PERIOD_SECONDS,
        "PATH": os.environ["PATH"],
    }
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "healthd", env=settings | environment, stderr=stderr
        )
    try:
        yield Healthd(f"http://127.0.0.1:{public}", f"http://127.0.0.1:{admin}", log, process)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0, log.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def consumer(nats: NatsServer, database_url: str) -> AsyncIterator[None]:
    """The stream and its consumer, as the services make them."""
    settings = ServiceSettings.model_validate({"database_url": database_url, "nats_url": nats.url})
    stream = StreamSpec(STREAM, (ALL_SUBJECTS,), max_bytes=64 * 1024**2)
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(settings, name="test", group=group, stream=stream, consumer=ConsumerSpec(CONSUMER)) as jetstream,
    ):
        await asyncio.wait_for(jetstream.wait_connected(), 10)
        yield


def targets(ingest_port: int, processor_port: int) -> str:
    """Both services on this machine."""
    return f"ingest=http://127.0.0.1:{ingest_port},processor=http://127.0.0.1:{processor_port}"


async def health_when(
    client: aiohttp.ClientSession, url: str, is_so: Callable[[int, dict[str, object]], bool]
) -> dict[str, object]:
    """The answer as soon as it is what the test waits for."""
    body: dict[str, object] = {}

    async def answers() -> bool:
        nonlocal body
        try:
            async with client.get(f"{url}/api/health") as response:
                body = await response.json()
                return is_so(response.status, body)
        except aiohttp.ClientConnectionError:
            return False

    await until(answers)
    return body


async def status_of(client: aiohttp.ClientSession, url: str, wanted: int) -> bool:
    """Whether a GET is answered with this status."""
    try:
        async with client.get(url) as response:
            return response.status == wanted
    except aiohttp.ClientConnectionError:
        return False
