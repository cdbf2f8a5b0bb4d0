"""Read a service's own report from its admin port."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

_SECONDS = 2.0
_OK = 200


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """One service, as its admin port shows it now."""

    name: str
    problem: str | None = None
    """Why nothing is known of it; None: the rest is true."""
    ready: bool = False
    uptime_seconds: float = 0
    pool: Mapping[str, int] = field(default_factory=dict)
    """idle, busy, max, waiters; empty for a service that has no pool."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Sums over labels, by name."""


async def look_at(addresses: Mapping[str, str | None]) -> Sequence[ServiceSeen]:
    """Ask every service at once; one that cannot be asked is an answer, too."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_look_at_one(session, name, url)) for name, url in addresses.items()]
    return [task.result() for task in tasks]


async def http_status(url: str) -> int | None:
    """The status of one GET; None without an answer."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session,
            session.get(url) as response,
        ):
            return response.status
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


async def _look_at_one(session: aiohttp.ClientSession, name: str, url: str | None) -> ServiceSeen:
    if url is None:
        return ServiceSeen(name, problem=f"no address of {name} is known")
    base = url.rstrip("/")
    try:
        async with session.get(f"{base}/status") as response:
            if response.status != _OK:
                return ServiceSeen(name, problem=f"{base}/status answered {response.status}")
            status = await response.json()
        async with session.get(f"{base}/metrics") as response:
            metrics = summed(await response.text())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return ServiceSeen(name, problem=f"{base} does not answer ({type(error).__name__})")
    return _seen(name, status, metrics)


def _seen(name: str, status: object, metrics: Mapping[str, float]) -> ServiceSeen:
    if not isinstance(status, Mapping):
        return ServiceSeen(name, problem="its /status is no JSON object")
    pool, uptime = status.get("pool"), status.get("uptime_seconds")
    figures = pool.items() if isinstance(pool, Mapping) else ()
    return ServiceSeen(
        name=name,
        ready=status.get("ready") is True,
        uptime_seconds=float(uptime) if isinstance(uptime, int | float) else 0,
        pool={str(figure): value for figure, value in figures if isinstance(value, int)},
        metrics=metrics,
    )


def summed(exposition: str) -> Mapping[str, float]:
    """The samples of Prometheus' text format, summed over their labels; only for figures whose sum means something."""
    sums: dict[str, float] = {}
    for line in exposition.splitlines():
        sample, _, value = line.rpartition(" ")
        if line.startswith("#") or not sample:
            continue
        number = _number(value)
        if math.isfinite(number):
            name = sample.partition("{")[0]
            sums[name] = sums.get(name, 0) + number
    return sums


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan
