"""Candidates and services as processes of their own."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import aiohttp

from bench.candidates import Candidate
from bench.ground import Ground
from bench.load import Order

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_LOAD_SECONDS = 300.0


@asynccontextmanager
async def serving(candidate: Candidate, ground: Ground) -> AsyncIterator[int]:
    """Fresh processes of a candidate; yields the port that they listen on."""
    port = free_port()
    async with AsyncExitStack() as stack:
        for _ in range(candidate.processes):
            environment = {"LISTEN_PORT": str(port), "ADMIN_PORT": str(free_port()), **candidate.environment}
            process = await stack.enter_async_context(running(ground, candidate.module, **environment))
            await listening(port, process)
            if candidate.is_sluice:
                await _ready(environment["ADMIN_PORT"])
        yield port


@asynccontextmanager
async def running(ground: Ground, module: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A module as a process with an admin port of its own; ended, politely first, when the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, env=ground.environment(**{"ADMIN_PORT": str(free_port()), **environment})
    )
    try:
        yield process
    finally:
        await _stop(process)


@asynccontextmanager
async def processing(ground: Ground, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A processor whose consumer is there."""
    port = free_port()
    async with running(ground, "processor", ADMIN_PORT=str(port), **environment) as process:
        await _ready(str(port))
        yield process


async def _ready(admin_port: str) -> None:
    """Wait until a service has its stream, so that nothing is left to a later sweep."""
    status = f"http://127.0.0.1:{admin_port}/status"
    async with aiohttp.ClientSession() as session, asyncio.timeout(_START_SECONDS):
        while True:
            try:
                async with session.get(status) as answer:
                    if (await answer.json()).get("stream", {}).get("connected"):
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)


async def listening(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until a process accepts connections on a port."""
    async with asyncio.timeout(_START_SECONDS):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
    raise RuntimeError(f"the process ended with {process.returncode} before it listened on port {port}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def send(order: Order) -> dict[str, float]:
    """Let a load generator carry out an order."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_LOAD_SECONDS):
        printed, _ = await process.communicate(json.dumps(asdict(order)).encode())
    if process.returncode != 0:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    tally: dict[str, float] = json.loads(printed)
    return tally


def memory_mebibytes(process: asyncio.subprocess.Process) -> float:
    """Memory of a process (RSS); 0 where there is no /proc."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def free_port() -> int:
    """A free port of 127.0.0.1."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
