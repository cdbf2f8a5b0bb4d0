"""ingest as it runs, in the test's own event loop: real port, real PostgreSQL, real NATS."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import aiohttp
from pydantic import SecretStr

from ingest.app import serve
from ingest.http.endpoint import PLATFORM_PATH
from ingest.settings import SECRET_NAME, IngestSettings
from sluice.service.service import Service
from tests.ingest.webhooks import SECRET, signed
from tests.waiting import until

NOWHERE = "nats://127.0.0.1:1"


@dataclass(frozen=True)
class Reply:
    """An answer of ingest."""

    status: int
    json: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.json["error"]["code"])


@dataclass(frozen=True)
class Ingest:
    """A running ingest, and a client of it."""

    port: int
    service: Service
    session: aiohttp.ClientSession

    async def send(
        self, body: bytes, headers: Mapping[str, str], *, path: str = PLATFORM_PATH, method: str = "POST"
    ) -> Reply:
        """Send exactly this."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with (
            asyncio.timeout(10),
            self.session.request(method, url, data=io.BytesIO(body), headers=headers) as response,
        ):
            content = await response.read()
            json = await response.json() if content else None
            return Reply(response.status, json, response.headers)

    async def deliver(self, body: bytes, *secrets: str, path: str = PLATFORM_PATH) -> Reply:
        """Send a body as Stripe does."""
        return await self.send(body, signed(body, *secrets), path=path)


@asynccontextmanager
async def running(
    database_url: str, nats_url: str, *, secret: str = SECRET, **changes: object
) -> AsyncIterator[Ingest]:
    """Start ingest on free ports; stop it as SIGTERM does."""
    where = {"database_url": SecretStr(database_url), "nats_url": SecretStr(nats_url)}
    usual = {"listen_host": "127.0.0.1", "listen_port": 0, "linger_seconds": 0, "database_pool_min_size": 1}
    settings = IngestSettings.model_validate(where | usual | changes)
    service = Service("ingest", settings)
    connector = aiohttp.TCPConnector(limit=0)
    with patch.dict(os.environ, {SECRET_NAME: secret}):
        async with (
            asyncio.TaskGroup() as group,
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
        ):
            service.group = group
            done = asyncio.Event()
            errors = group.create_task(service.errors.run(done))
            main = group.create_task(serve(service))
            try:
                port = await _port(service, main)
                yield Ingest(port, service, session)
            finally:
                service.stop.set()
                await asyncio.wait([main])
                done.set()
                await asyncio.wait([errors])


async def _port(service: Service, main: "asyncio.Task[None]") -> int:
    await until(lambda: main.done() or "listening" in service.probes.status(), what="ingest listens")
    if main.done():
        await main
    port: Any = service.probes.status()["listening"]
    return int(port["port"])
