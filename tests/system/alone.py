"""The three services as processes of their own, each started by a shell that takes something away from it."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from devstack.ports import free_port
from tests.ingest.webhooks import SECRET, signed
from tests.waiting import until

NAMES = ("ingest", "processor", "healthd")


@dataclass(frozen=True)
class Alone:
    """One service: its process, and its ports on the loopback."""

    process: Process
    admin_port: int
    public_port: int

    async def admin(self, path: str) -> tuple[int, str]:
        """Ask the admin port; 0 where it does not answer."""
        return await get(f"http://127.0.0.1:{self.admin_port}{path}")

    async def is_ready(self) -> bool:
        """Whether it takes work."""
        return (await self.admin("/readyz"))[0] == 200

    async def deliver(self, body: bytes) -> int:
        """Post a webhook as Stripe does; the status."""
        url = f"http://127.0.0.1:{self.public_port}/api/stripe-webhook"
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session,
            session.post(url, data=body, headers=signed(body)) as response,
        ):
            return response.status

    async def stop(self) -> int:
        """End it as a kubelet does; its exit code."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 20)


@dataclass(frozen=True)
class Surroundings:
    """Where services find each other, and what the shell does before each becomes one."""

    role_url: Callable[[str], str]
    nats_url: str
    before: str = ""
    redirection: str = ""
    stream: int = asyncio.subprocess.DEVNULL
    """Where stdout and stderr go."""
    ports: Mapping[str, tuple[int, int]] = field(
        default_factory=lambda: {name: (free_port(), free_port()) for name in NAMES}
    )

    @asynccontextmanager
    async def running(self, *names: str, **environment: str) -> AsyncIterator[list[Alone]]:
        """These services, as soon as they are ready; gone when the block ends."""
        async with AsyncExitStack() as stack:
            services = [await stack.enter_async_context(self.started(name, **environment)) for name in names]
            for service in services:
                await until(service.is_ready, what="it is ready")
            yield services

    @asynccontextmanager
    async def started(self, name: str, **environment: str) -> AsyncIterator[Alone]:
        """One service, ready or not."""
        admin, public = self.ports[name]
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            f'{self.before}\nexec "$@" {self.redirection}',
            "sh",
            sys.executable,
            "-m",
            name,
            env=self._environment(name, admin, public) | environment,
            stdout=self.stream,
            stderr=self.stream,
        )
        try:
            yield Alone(process, admin, public)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def _environment(self, name: str, admin: int, public: int) -> dict[str, str]:
        targets = ",".join(f"{one}=http://127.0.0.1:{self.ports[one][0]}" for one in ("ingest", "processor"))
        return {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.role_url(name),
            "NATS_URL": self.nats_url,
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "ADMIN_HOST": "127.0.0.1",
            "ADMIN_PORT": str(admin),
            "LISTEN_HOST": "127.0.0.1",
            "LISTEN_PORT": str(public),
            "LINGER_SECONDS": "0",
            "HEALTH_TARGETS": targets,
            "HEALTH_PERIOD_SECONDS": "0.25",
        }


async def get(url: str) -> tuple[int, str]:
    """Status and body; 0 where nothing answers."""
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session, session.get(url) as response:
            return response.status, await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return 0, ""


async def reasons(healthd: Alone) -> set[tuple[str, str]]:
    """The findings of healthd, each with the service that it is about."""
    _, text = await healthd.admin("/api/health")
    found: list[dict[str, Any]] = json.loads(text).get("reasons", []) if text else []
    return {(one["reason"], one.get("service") or "") for one in found}
