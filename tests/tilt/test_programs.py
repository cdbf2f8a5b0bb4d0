"""The two programs of the Tiltfile, as processes."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from devstack.ports import free_port
from tests.chart.helm import ROOT

TELLING = "import os, signal, sys, time; print(os.getpid(), flush=True); {then}"


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program, killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env={"PYTHONPATH": "."}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


async def test_a_changed_source_restarts_the_service(tmp_path: Path) -> None:
    """So does a new one; SIGTERM ends both, with the service's own exit code."""
    source = tmp_path / "service.py"
    source.write_text(TELLING.format(then="signal.signal(15, lambda *_: sys.exit(7)); time.sleep(60)"))
    async with running("docker/restart_on_change.py", str(tmp_path), sys.executable, str(source)) as restarter:
        first = await _line(restarter)
        source.write_text(source.read_text() + "\n")
        second = await _line(restarter)
        (tmp_path / "more.sql").write_text("SELECT 1;")
        third = await _line(restarter)
        assert len({first, second, third}) == 3
        restarter.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(restarter.wait(), 20) == 7


async def test_a_service_that_ends_is_started_again(tmp_path: Path) -> None:
    """At once after a change, and soon without one."""
    source = tmp_path / "service.py"
    source.write_text(TELLING.format(then="sys.exit(1)"))
    async with running("docker/restart_on_change.py", str(tmp_path), sys.executable, str(source)) as restarter:
        assert await _line(restarter) != await _line(restarter)


async def test_the_gateway_has_the_public_paths_on_one_port() -> None:
    """Each leads to its own service, here to none, and everything else is 404; SIGTERM ends it."""
    port, ingest, healthd = free_port(), free_port(), free_port()
    command = ["docker/tilt_gateway.py", str(port), f"ingest={ingest}", f"healthd={healthd}"]
    async with running(*command) as gateway, aiohttp.ClientSession() as session:
        assert await _status(session, f"http://127.0.0.1:{port}/api/health") == 503
        assert await _status(session, f"http://127.0.0.1:{port}/api/stripe-webhook") == 503
        assert await _status(session, f"http://127.0.0.1:{port}/metrics") == 404
        gateway.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(gateway.wait(), 20) == 0


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    async with asyncio.timeout(20):
        while True:
            try:
                async with session.get(url) as answer:
                    return answer.status
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)
