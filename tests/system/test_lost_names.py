"""A resolver that does not answer, or knows no such name: services run on, and say so in single clear lines."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ingest.webhooks import webhook
from tests.system.alone import NAMES, Alone, Surroundings, reasons
from tests.waiting import until

NOWHERE = {
    "DATABASE_URL": "postgresql://nobody:hunter2@db.sluice.test:5432/x",
    "NATS_URL": "nats://nats.sluice.test:4222",
}

UNKNOWN = {name: url.replace("sluice.test", "invalid") for name, url in NOWHERE.items()}


@pytest.fixture
def silent_resolver(tmp_path: Path) -> Iterator[str]:
    """The shell's line that makes a process ask a resolver which never answers; skips where that is not allowed."""
    configuration = tmp_path / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.1\noptions attempts:1\n")
    inside = f"mount --bind {configuration} /etc/resolv.conf && "
    try_it = ["sh", "-c", f"unshare -m sh -c '{inside} true'"]
    if subprocess.run(try_it, capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace to be had")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        try:
            resolver.bind(("127.0.0.1", 53))
        except OSError:
            pytest.skip("port 53 of the loopback is not to be had")
        yield f'exec unshare -m sh -c \'{inside} exec "$@"\' sh "$@"'


@pytest.mark.parametrize("name", NAMES)
async def test_a_resolver_that_does_not_answer_leaves_no_trace_in_the_log(
    name: str, silent_resolver: str, role_url: Callable[[str], str], tmp_path: Path
) -> None:
    """Each attempt is given up before its answer comes; that one is told in a line, without a traceback."""
    log = tmp_path / "log"
    with log.open("wb") as stream:
        surroundings = Surroundings(role_url, "", stream=stream.fileno(), before=silent_resolver)
        async with surroundings.started(name, **NOWHERE, RES_OPTIONS="timeout:4") as service:
            await until(lambda: "abandoned_attempt_failed" in log.read_text(), within_seconds=60)
            assert (await service.admin("/livez"))[0] == 200
            assert await service.stop() == 0
    _is_clear(log)


async def test_a_resolver_that_does_not_answer_delays_no_stop(
    silent_resolver: str, role_url: Callable[[str], str], tmp_path: Path
) -> None:
    """It would be asked for half a minute more; the process ends cleanly, with its last line."""
    log = tmp_path / "log"
    with log.open("wb") as stream:
        surroundings = Surroundings(role_url, "", stream=stream.fileno(), before=silent_resolver)
        async with surroundings.started("processor", **NOWHERE, RES_OPTIONS="timeout:30") as service:
            await until(lambda: "unavailable" in log.read_text())
            assert await service.stop() == 0
    assert "service_stopped" in log.read_text()
    _is_clear(log)


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_that_is_not_found_is_said_in_a_line(
    name: str, role_url: Callable[[str], str], tmp_path: Path
) -> None:
    """The service runs; ingest refuses, healthd names what is away; the reason is in no traceback."""
    log = tmp_path / "log"
    with log.open("wb") as stream:
        surroundings = Surroundings(role_url, "", stream=stream.fileno())
        async with surroundings.started(name, **UNKNOWN) as service:
            await until(lambda: {"postgres_unavailable", "nats_unavailable"} <= _events(log))
            if name == "ingest":
                assert await service.deliver(webhook()) == 503
            if name == "healthd":
                await until(lambda: _names(service, {("database_down", ""), ("stream_down", "")}))
            assert await service.stop() == 0
    assert "the name of its host is not found" in log.read_text()
    _is_clear(log)


async def _names(healthd: Alone, wanted: set[tuple[str, str]]) -> bool:
    return wanted <= await reasons(healthd)


def _events(log: Path) -> set[str]:
    """The events in the whole lines of a log."""
    return {json.loads(line)["event"] for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")}


def _is_clear(log: Path) -> None:
    """Each line is an object of ours; none holds a trace, or the password."""
    _events(log)
    text = log.read_text()
    assert not [word for word in ("Traceback", "never retrieved", '"exception"', "hunter2") if word in text]
