"""Real services whose stdout and stderr cannot be written start, work, say so in health, and end well."""

import contextlib
import os
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.ingest.webhooks import webhook
from tests.system.alone import NAMES, Alone, Surroundings, get, reasons
from tests.waiting import until

Broken = Callable[[], "contextlib.AbstractContextManager[tuple[int, str]]"]


def _make_full_pipe() -> tuple[int, int]:
    """Not one more byte fits into it."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_fd, b"\n")
    os.set_blocking(write_fd, True)
    return read_fd, write_fd


@contextmanager
def _full_pipe() -> Iterator[tuple[int, str]]:
    read_fd, write_fd = _make_full_pipe()
    yield write_fd, ""
    os.close(read_fd)
    os.close(write_fd)


@contextmanager
def _pipe_without_reader() -> Iterator[tuple[int, str]]:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    yield write_fd, ""
    os.close(write_fd)


@contextmanager
def _full_disk() -> Iterator[tuple[int, str]]:
    with Path("/dev/full").open("wb") as full:
        yield full.fileno(), ""


@contextmanager
def _closed() -> Iterator[tuple[int, str]]:
    yield DEVNULL, "<&- >&- 2>&-"


@pytest.mark.parametrize("broken", [_full_pipe, _pipe_without_reader, _full_disk, _closed])
async def test_services_whose_log_cannot_be_written_work_all_the_same(
    broken: Broken, role_url: Callable[[str], str], nats_url: str, database_url: str
) -> None:
    """A webhook is acknowledged and processed, health names the replicas, and each service ends with 0."""
    with broken() as (stream, redirection):
        surroundings = Surroundings(role_url, nats_url, redirection=redirection, stream=stream)
        async with surroundings.running(*NAMES) as services:
            ingest, _, healthd = services
            assert [await ingest.deliver(webhook()) for _ in range(3)] == [200] * 3
            await until(lambda: _are_processed(database_url, 3))
            lost = {("logs_dropped", "ingest"), ("logs_dropped", "processor")}
            await until(lambda: _are_named(healthd, lost), what="health names both")
            assert (await get(f"http://127.0.0.1:{healthd.public_port}/api/health"))[0] == 200
            assert [await service.stop() for service in services] == [0, 0, 0]


@pytest.mark.parametrize("broken", [_full_pipe, _pipe_without_reader, _full_disk, _closed])
@pytest.mark.parametrize("name", NAMES)
async def test_a_fault_of_the_configuration_has_its_exit_code_unread(
    broken: Broken, name: str, role_url: Callable[[str], str]
) -> None:
    """A supervisor tells it from a crash by 78 alone."""
    with broken() as (stream, redirection):
        surroundings = Surroundings(role_url, "", redirection=redirection, stream=stream)
        async with surroundings.started(name, ADMIN_PORT="none") as service:
            assert await service.process.wait() == 78


async def test_a_log_that_is_read_again_is_well_again(role_url: Callable[[str], str], nats_url: str) -> None:
    """The log was not read for long; now it is, and health says so without a restart."""
    read_fd, write_fd = _make_full_pipe()
    full = Surroundings(role_url, nats_url, stream=write_fd)
    healthy = Surroundings(role_url, nats_url, ports=full.ports)
    async with full.running("ingest"), healthy.running("healthd") as (healthd,):
        os.close(write_fd)
        await until(lambda: _are_named(healthd, {("logs_dropped", "ingest")}))
        os.set_blocking(read_fd, False)
        await until(lambda: _is_well(read_fd, healthd))
    os.close(read_fd)


async def _is_well(read_fd: int, healthd: Alone) -> bool:
    with contextlib.suppress(BlockingIOError):
        os.read(read_fd, 1_000_000)
    return not {("logs_dropped", "ingest")} & await reasons(healthd)


async def _are_processed(database_url: str, count: int) -> bool:
    connection = await asyncpg.connect(database_url)
    try:
        processed: int = await connection.fetchval("SELECT count(*) FROM webhook_logs WHERE processed")
    finally:
        await connection.close()
    return processed == count


async def _are_named(healthd: Alone, wanted: set[tuple[str, str]]) -> bool:
    return wanted <= await reasons(healthd)
