"""ingest as a process and as a service: starts without its neighbours, says what it lacks, ends cleanly."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from devstack.schema import apply_migrations
from ingest import metrics
from sluice.postgres.pool import Database
from sluice.webhook_secret import fingerprint
from tests.ingest.running import NOWHERE, Ingest, running
from tests.ingest.webhooks import OTHER_SECRET, SECRET, signed, webhook
from tests.metrics import counted
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
        await until(lambda: _is_ready(session, admin))
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


async def _is_ready(session: aiohttp.ClientSession, admin: int) -> bool:
    return not await _is_red(session, admin)


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
    await until(lambda: ingest.service.probes.status()["ready"] is True)
    status = ingest.service.probes.status()
    assert status["ready"] is True
    assert status["configuration"] == {"stripe_webhook_secret": "ok"}
    assert status["webhook_secrets"] == {"fingerprints": [fingerprint("platform", SECRET)]}
    assert counted("webhook_secret_in_force", verified_by=fingerprint("platform", SECRET)) == 1
    assert {"pool", "stream", "journal", "relay", "listening"} <= status.keys()
    assert SECRET not in str(status)


def test_a_secret_that_was_taken_out_is_not_shown_as_in_force() -> None:
    """The gauge has those that may verify a webhook now, by fingerprint."""
    shown = [f"platform:{number}" for number in (1, 2, 3)]
    metrics.show_secrets(shown[:2])
    metrics.show_secrets(shown[1:])
    assert [counted("webhook_secret_in_force", verified_by=one) for one in shown] == [None, 1, 1]


async def test_several_secrets_are_accepted_while_one_is_rolled(
    database_url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old, new, and a header signed with both."""
    async with running(database_url, NOWHERE, secret=f"{SECRET},{OTHER_SECRET}") as ingest:
        for secrets in ((SECRET,), (OTHER_SECRET,), (OTHER_SECRET, "whsec_unknown")):
            assert (await ingest.deliver(webhook(), *secrets)).status == 200


async def test_a_new_secret_is_good_at_once(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file changed a moment after it was looked at: a webhook signed with its new secret is not refused."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET_FILE", str(path))
    async with running(database_url, NOWHERE, secret="") as ingest:
        assert (await ingest.deliver(webhook())).status == 200
        (tmp_path / "next").write_text(OTHER_SECRET)
        (tmp_path / "next").replace(path)
        assert (await ingest.deliver(webhook(), OTHER_SECRET)).status == 200
        assert (await ingest.deliver(webhook(), SECRET)).status == 400


async def test_a_wrong_password_keeps_it_from_getting_ready(role_url: Callable[[str], str], database: Database) -> None:
    """So a rollout with it stops; with the right one it becomes ready by itself, and stays so without PostgreSQL."""
    right = urlsplit(role_url("ingest")).password
    await database.execute("ALTER ROLE ingest PASSWORD 'another'")
    try:
        async with (
            process(DATABASE_URL=role_url("ingest"), NATS_URL=NOWHERE, STRIPE_WEBHOOK_SECRET=SECRET) as (
                ingest,
                _,
                admin,
            ),
            aiohttp.ClientSession(f"http://127.0.0.1:{admin}") as session,
        ):
            said = await _logged(ingest, "not_ready")
            assert said["reason"] == "PostgreSQL: it refuses this user or password"
            async with session.get("/readyz?verbose") as ready:
                assert ready.status == 503
                assert "[-]first_contact failed: PostgreSQL: it refuses this user or password" in await ready.text()
            async with session.get("/livez") as live:
                assert live.status == 200
            await database.execute(f"ALTER ROLE ingest PASSWORD '{right}'")
            await until(lambda: _is_green(session))
            await database.execute("ALTER ROLE ingest PASSWORD 'another'")
            await database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ingest'")
            await until(lambda: _has_a_problem(session))
            assert await _is_green(session)
    finally:
        await database.execute(f"ALTER ROLE ingest PASSWORD '{right}'")


async def _is_green(session: aiohttp.ClientSession) -> bool:
    async with session.get("/readyz") as ready:
        return ready.status == 200


async def _has_a_problem(session: aiohttp.ClientSession) -> bool:
    async with session.get("/status") as status:
        database = (await status.json())["database"]
    return bool(database["problem"] == "it refuses this user or password")


async def test_an_old_schema_keeps_it_from_getting_ready(empty_database_url: str) -> None:
    """Nothing could be recorded; the reason says what to run."""
    async with running(empty_database_url, NOWHERE) as ingest:
        await until(lambda: "schema" in str(_contact(ingest)["problem"]))
        assert _contact(ingest) == {
            "reached": False,
            "problem": "PostgreSQL: its schema is older than this release; run sluice migrate",
        }
        assert ingest.service.probes.status()["ready"] is False
        await apply_migrations(empty_database_url)
        await until(lambda: ingest.service.probes.status()["ready"] is True)


def _contact(ingest: Ingest) -> dict[str, object]:
    contact: dict[str, object] = ingest.service.probes.status()["first_contact"]  # type: ignore[assignment]
    return contact


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
