"""Each test runs a real process: signals and exit codes are promises to a kubelet."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

PROGRAM = """
import asyncio, time
from sluice.service.service import Service, run
from sluice.runtime.settings import ServiceSettings, load

async def until_stopped(service: Service) -> None:
    await service.stop.wait()

async def slow_goodbye(service: Service) -> None:
    await service.stop.wait()
    await asyncio.sleep(2)

async def never_ends(service: Service) -> None:
    await asyncio.Event().wait()

async def task_crashes(service: Service) -> None:
    async def work() -> None:
        raise LookupError("whsec_abc123 not found")
    service.group.create_task(work())
    await service.stop.wait()

async def main_crashes(service: Service) -> None:
    raise LookupError("whsec_abc123 not found")

async def returns(service: Service) -> None:
    async def work() -> None:
        await service.stop.wait()
    service.group.create_task(work())

async def deaf(service: Service) -> None:
    await service.stop.wait()
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            service.errors.general("goodbye")
            raise

run("ingest", load(ServiceSettings), globals()["MAIN"])
print("clean")
"""


@asynccontextmanager
async def _service(main: str, *, defines: str = "", **environment: str) -> AsyncIterator[Process]:
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "NATS_URL": "nats://127.0.0.1:1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM.replace('globals()["MAIN"]', main).replace("\nrun(", f"\n{defines}\nrun("),
        env={**os.environ, **nowhere, "ADMIN_HOST": "127.0.0.1", "ADMIN_PORT": "0", **environment},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: Process, event: str) -> dict[str, object]:
    """The next log line of that name."""
    assert process.stderr is not None
    async with asyncio.timeout(10):
        while raw := await process.stderr.readline():
            line: dict[str, object] = json.loads(raw)
            if line["event"] == event:
                return line
    raise AssertionError(f"{event} was never logged")


async def _end(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(10):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_is_clean_also_without_database_and_stream(number: signal.Signals) -> None:
    """A service starts with nothing around it, and ends with 0 when it is told to."""
    async with _service("until_stopped") as process:
        await _line(process, "service_started")
        process.send_signal(number)
        code, out, err = await _end(process)
    assert (code, out) == (0, "clean\n")
    assert "service_stopped" in err


async def test_while_it_drains_it_is_alive_unready_and_still_answers() -> None:
    """The admin server is the last to go."""
    async with _service("slow_goodbye") as process:
        port = (await _line(process, "service_started"))["admin_port"]
        process.terminate()
        await _line(process, "service_draining")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get("/readyz") as ready, session.get("/livez") as live:
                assert (ready.status, live.status) == (503, 200)
            async with session.get("/status") as status:
                assert (await status.json())["draining"] is True
        assert (await _end(process))[0] == 0


@pytest.mark.parametrize("main", ["task_crashes", "main_crashes"])
async def test_a_crash_of_any_task_ends_the_process_with_a_critical_line(main: str) -> None:
    """Half a service is worse than none: a kubelet starts it again. Its reason is logged, its secrets are not."""
    async with _service(main) as process:
        code, out, err = await _end(process)
    lines = [json.loads(line) for line in err.splitlines()]
    assert (code, out) == (1, "")
    assert [line["error"] for line in lines if line["level"] == "critical"] == ["LookupError"]
    assert any(line["event"] == "error_log_entry" and line["severity"] == "critical" for line in lines)
    assert "whsec_abc123 not found" not in err.replace('raise LookupError(\\"whsec_abc123', "")


@pytest.mark.parametrize("main", ["never_ends", "deaf"])
async def test_a_drain_that_takes_too_long_is_cut_and_not_clean(main: str) -> None:
    """The deadline ends what does not end by itself."""
    async with _service(main, DRAIN_SECONDS="0.3") as process:
        await _line(process, "service_started")
        process.terminate()
        code, _, err = await _end(process)
    assert code == 1
    assert "drain_took_too_long" in err


async def test_when_main_returns_its_tasks_are_told_to_stop() -> None:
    """A service whose work is done ends cleanly by itself."""
    async with _service("returns") as process:
        assert (await _end(process))[:2] == (0, "clean\n")


async def test_a_taken_admin_port_is_a_fault_of_the_configuration() -> None:
    """One sentence, no trace, code 78."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        async with _service("until_stopped", ADMIN_PORT=str(port)) as process:
            code, _, err = await _end(process)
    assert code == 78
    assert err.startswith(f"ingest cannot listen on its admin port 127.0.0.1:{port}")
    assert "Traceback" not in err
