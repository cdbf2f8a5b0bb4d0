"""ingest as a process and as a service: starts without its neighbours, says what it lacks, ends cleanly."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.ingest.running import NOWHERE, Ingest, running
from tests.ingest.webhooks import OTHER_SECRET, SECRET, signed, webhook
from tests.waiting import until

POSTGRES_NOWHERE = "postgresql://u:canarypassword@127.0.0.1:1/x"


@asynccontextmanager
async def process(**environment: str) -> AsyncIterator[tuple["asyncio.subprocess.Process", int, int]]:
    """``python -m ingest`` on free ports: the process, its public port and its admin port."""
    given = {"LISTEN_HOST": "127.0.0.1", "LISTEN_PORT": "0", "ADMIN_HOST": "127.0.0.1", "ADMIN_PORT": "0"}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ingest", env={**os.environ, **given, **environment}, stderr=asyncio.subprocess.PIPE
    )
    try:
        admin = await _logged(started, "service_started")
        public = await _logged(started, "ingest_listening")
        yield started, int(str(public["port"])), int(str(admin["admin_port"]))
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def _logged(process: "asyncio.subprocess.Process", name: str) -> Mapping[str, object]:
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while line := await process.stderr.readline():
            entry: Mapping[str, object] = json.loads(line)
            if entry["event"] == name:
                return entry
    raise AssertionError(f"ended without {name}")


async def test_it_starts_without_its_neighbours_and_ends_within_its_time(database_url: str) -> None:
    """SIGTERM while a request is under way: not ready at once, the request is answered, exit code 0."""
    body = webhook()
    async with (
        process(
            DATABASE_URL=database_url,
            NATS_URL=NOWHERE,
            STRIPE_WEBHOOK_SECRET=SECRET,
            LINGER_SECONDS="3",
            DRAIN_SECONDS="20",
        ) as (ingest, port, admin),
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"http://127.0.0.1:{admin}/readyz") as ready:
            assert ready.status == 200
        ingest.terminate()
        await until(lambda: _is_red(session, admin))
        url = f"http://127.0.0.1:{port}/api/stripe-webhook"
        async with session.post(url, data=body, headers=signed(body)) as answer:  # it still accepts for a moment
            assert answer.status == 200
            assert answer.headers["Connection"] == "close"
        async with asyncio.timeout(10):  # 2 s more than with the usual linger
            assert await ingest.wait() == 0


async def test_a_missing_webhook_secret_is_said_at_start(database_url: str) -> None:
    """Ingest starts without the platform's secret, and its log says at once what to set."""
    async with process(DATABASE_URL=database_url, NATS_URL=NOWHERE, STRIPE_WEBHOOK_SECRET="") as (ingest, _, _):
        entry = await _logged(ingest, "stripe_webhook_secret_missing")
        assert "STRIPE_WEBHOOK_SECRET_FILE" in str(entry["fix"])


async def _is_red(session: aiohttp.ClientSession, admin: int) -> bool:
    async with session.get(f"http://127.0.0.1:{admin}/readyz") as ready:
        return ready.status == 503


def test_help_names_every_setting() -> None:
    """Also with no setting given."""
    environment = {"PATH": os.defpath}
    done = subprocess.run(
        [sys.executable, "-m", "ingest", "--help"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        timeout=30,
    )
    for name in ("DATABASE_URL", "STRIPE_WEBHOOK_SECRET", "LISTEN_PORT", "JOURNAL_QUEUE_ROWS"):
        assert name in done.stdout


def test_faults_of_the_configuration_are_told_at_once() -> None:
    """All of them, with exit code 78, before anything starts."""
    environment = {"PATH": os.defpath, "LISTEN_PORT": "99999", "BODY_SECONDS": "never", "STRIPE_WEBHOOK_SECRET": "x"}
    done = subprocess.run(
        [sys.executable, "-m", "ingest"], check=False, capture_output=True, text=True, env=environment, timeout=30
    )
    assert done.returncode == 78
    for name in ("DATABASE_URL", "LISTEN_PORT", "BODY_SECONDS", "STRIPE_WEBHOOK_SECRET"):
        assert name in done.stderr


async def test_without_a_secret_it_is_not_ready_and_answers_503(database_url: str) -> None:
    """So that a deployment that forgot it stops at the first replica, and Stripe keeps its webhooks."""
    async with running(database_url, NOWHERE, secret="") as ingest:
        status = ingest.service.probes.status()
        assert status["ready"] is False
        assert status["configuration"] == {"stripe_webhook_secret": "missing"}
        reply = await ingest.deliver(webhook())
        assert (reply.status, reply.code) == (503, "not_configured")


async def test_status_shows_what_healthd_reads(ingest: Ingest) -> None:
    """Pool, stream, configuration; never a secret."""
    status = ingest.service.probes.status()
    assert status["ready"] is True
    assert status["configuration"] == {"stripe_webhook_secret": "ok"}
    assert {"pool", "stream", "journal", "relay", "listening"} <= status.keys()
    assert SECRET not in str(status)


async def test_several_secrets_are_accepted_while_one_is_rolled(
    database_url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old, new, and a header signed with both."""
    async with running(database_url, NOWHERE, secret=f"{SECRET},{OTHER_SECRET}") as ingest:
        for secrets in ((SECRET,), (OTHER_SECRET,), (OTHER_SECRET, "whsec_unknown")):
            assert (await ingest.deliver(webhook(), *secrets)).status == 200


async def test_without_postgresql_and_nats_it_runs_and_leaks_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """503 for webhooks, 400 for forgeries, 404 for strangers; and the password in no log."""
    async with running(POSTGRES_NOWHERE, NOWHERE) as ingest:
        assert (await ingest.deliver(webhook())).status == 503
        assert (await ingest.deliver(webhook(), OTHER_SECRET)).status == 400
        assert (await ingest.deliver(webhook(), path="/api/stripe-webhook/7")).status == 503
    assert "canarypassword" not in capfd.readouterr().err


async def test_a_taken_port_is_a_fault_of_the_configuration() -> None:
    """One sentence, no trace, code 78: starting it again does not cure it."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = str(holder.getsockname()[1])
        given = {"LISTEN_HOST": "127.0.0.1", "LISTEN_PORT": taken, "ADMIN_HOST": "127.0.0.1", "ADMIN_PORT": "0"}
        environment = {"DATABASE_URL": POSTGRES_NOWHERE, "NATS_URL": NOWHERE, "STRIPE_WEBHOOK_SECRET": SECRET}
        ended = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ingest", env=os.environ | given | environment, stderr=asyncio.subprocess.PIPE
        )
        _, stderr = await asyncio.wait_for(ended.communicate(), 20)
    assert ended.returncode == 78
    assert f"ingest cannot listen on 127.0.0.1:{taken}" in stderr.decode()
    assert "Traceback" not in stderr.decode()
    assert "critical" not in stderr.decode()


@pytest.mark.parametrize("bad", [f'"{SECRET}"', "sk_live_51Abcdefghijklmnop", "whsec_short", f"{SECRET},x"])
def test_what_can_be_no_secret_ends_the_start(bad: str) -> None:
    """With code 78 and a sentence that does not quote it: no stream of refused webhooks."""
    environment = {
        "PATH": os.defpath,
        "DATABASE_URL": POSTGRES_NOWHERE,
        "NATS_URL": NOWHERE,
        "STRIPE_WEBHOOK_SECRET": bad,
    }
    done = subprocess.run(
        [sys.executable, "-m", "ingest"], check=False, capture_output=True, text=True, env=environment, timeout=30
    )
    assert done.returncode == 78
    assert "STRIPE_WEBHOOK_SECRET: " in done.stderr
    assert bad not in done.stderr


async def test_a_changed_secret_works_at_the_first_webhook(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However soon after the change: before a signature is refused, the file is looked at once more."""
    file = tmp_path / "secret"
    file.write_text(SECRET)
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET_FILE", str(file))
    async with running(database_url, NOWHERE) as ingest:
        for secret in (OTHER_SECRET, SECRET, OTHER_SECRET):
            file.write_text(secret)
            await asyncio.sleep(0.06)  # the looks' own rate limit
            assert (await ingest.deliver(webhook(), secret)).status == 200
