"""The reconciler as a process: it looks at the endpoint, and shows in metrics and status what it saw."""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp

from sluice.simulator.stripe_api.server import serve
from tests.ops.rows import connected, insert_webhook
from tests.reconciler.endpoint.registered import HOST, TYPES, endpoint, register
from tests.stripe_world import TEST_KEY, offline_stripe
from tests.waiting import until


@asynccontextmanager
async def reconciler(**environment: str) -> AsyncIterator[str]:
    """``python -m reconciler``: the address of its admin port."""
    given = {"ADMIN_HOST": "127.0.0.1", "ADMIN_PORT": "0", "STRIPE_API_KEY": TEST_KEY, "PUBLIC_URL": HOST}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reconciler", env={**os.environ, **given, **environment}, stderr=PIPE
    )
    try:
        yield f"http://127.0.0.1:{await _admin_port(process)}"
    finally:
        process.terminate()
        await process.communicate()


async def _admin_port(process: Process) -> int:
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            entry: Mapping[str, object] = json.loads(line)
            if entry["event"] == "service_started":
                return int(str(entry["admin_port"]))
    raise AssertionError("it ended")


async def shown(base: str, session: aiohttp.ClientSession) -> tuple[set[str], str | None, list[str]]:
    """Findings and the enabled gauge of ``/metrics``, and the findings of ``/status``."""
    async with session.get(f"{base}/metrics") as response:
        metrics = await response.text()
    async with session.get(f"{base}/status") as response:
        status = await response.json()
    enabled = re.search(r'^endpoint_enabled\{mode="test"\} (\S+)$', metrics, re.MULTILINE)
    found = set(re.findall(r'^endpoint_findings\{finding="(\w+)",weight="\w+"\} 1\.0$', metrics, re.MULTILINE))
    return found, enabled[1] if enabled else None, status["endpoint"]["faults"]


async def test_it_tells_of_a_disabled_endpoint(database_url: str, role_url: Callable[[str], str]) -> None:
    """By its own role, with the types of the installed handlers; a secret has verified a webhook."""
    world = offline_stripe()
    register(world, endpoint(status="disabled", types=TYPES - {"charge.failed"}))
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1")
    async with (
        serve(world) as base,
        reconciler(DATABASE_URL=role_url("reconciler"), STRIPE_API_BASE=base) as admin,
        aiohttp.ClientSession() as session,
    ):

        async def has_looked() -> bool:
            return (await shown(admin, session))[1] is not None

        await until(has_looked, within_seconds=60)
        assert await shown(admin, session) == ({"disabled"}, "0.0", ["disabled"])
