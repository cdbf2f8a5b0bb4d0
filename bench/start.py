"""From starting ingest to its first 200, and what each service holds in memory when idle."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from bench.ground import Ground
from bench.processes import free_port, memory_mebibytes, running
from bench.webhooks import PATH, signed_requests

_PATIENCE_SECONDS = 20.0
_IDLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds and mebibytes."""

    first_accepted_seconds: float
    idle_mebibytes: Mapping[str, float]


async def measure(ground: Ground, *, count: int) -> Start:
    """Start ingest so many times (PostgreSQL is up), then all three services once."""
    await ground.sweep()
    took = [await _first_accepted(ground, next(ground.serials)) for _ in range(count)]
    return Start(statistics.median(took), await _idle(ground))


async def _first_accepted(ground: Ground, serial: int) -> float:
    port = free_port()
    requests = signed_requests(ground.secret, host=f"127.0.0.1:{port}", first_serial=serial)
    head, _, body = next(itertools.islice(requests, 1)).partition(b"\r\n\r\n")
    signature = next(line for line in head.decode().split("\r\n") if line.startswith("Stripe-Signature: "))
    headers = {"Stripe-Signature": signature.partition(": ")[2], "Content-Type": "application/json"}
    began = time.monotonic()
    async with running(ground, "ingest", LISTEN_PORT=str(port)), aiohttp.ClientSession() as session:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not await _is_accepted(session, f"http://127.0.0.1:{port}{PATH}", headers, body):
                await asyncio.sleep(0.005)
        return time.monotonic() - began


async def _is_accepted(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], body: bytes) -> bool:
    try:
        async with session.post(url, data=body, headers=headers) as answer:
            return answer.status == 200  # noqa: PLR2004
    except aiohttp.ClientError:
        return False


async def _idle(ground: Ground) -> Mapping[str, float]:
    ingest, processor = free_port(), free_port()
    targets = f"ingest=http://127.0.0.1:{ingest},processor=http://127.0.0.1:{processor}"
    async with (
        running(ground, "ingest", LISTEN_PORT=str(free_port()), ADMIN_PORT=str(ingest)) as first,
        running(ground, "processor", ADMIN_PORT=str(processor)) as second,
        running(ground, "healthd", LISTEN_PORT=str(free_port()), HEALTH_TARGETS=targets, LOG_LEVEL="error") as third,
    ):
        await asyncio.sleep(_IDLE_SECONDS)
        return {
            "ingest": memory_mebibytes(first),
            "processor": memory_mebibytes(second),
            "healthd": memory_mebibytes(third),
        }
