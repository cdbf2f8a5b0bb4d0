"""The example package, installed as a team would install it, found by the real processor, on real servers."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from devstack.postgres import PostgresServer
from devstack.roles import make_login_roles
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.postgres.pool import Database
from tests.processor.harness import RECORD, columns_of
from tests.processor.relay import open_relay
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
SETTLED = """
SELECT b.points, w.processed, w.outcome, w.xmin::text = l.xmin::text AS in_one_commit
FROM webhook_logs w, loyalty_charge l, loyalty_balance b
"""
EXAMPLE = REPOSITORY / "examples" / "loyalty"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example installed by pip, without a network."""
    folder = tmp_path_factory.mktemp("loyalty")
    source, packages = folder / "source", folder / "packages"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", "--target", packages, source], check=True, timeout=60)
    return packages


@pytest.fixture
def migrated_url(empty_database_url: str, packages: Path) -> str:
    """A database that ``sluice migrate`` brought up to date, with the example's own migration among the rest."""
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-m", "sluice.ops", "migrate"],
            check=True,
            cwd=packages,
            env=environment(packages, DATABASE_URL=empty_database_url),
            timeout=60,
        )
    return empty_database_url


def environment(packages: Path, **more: str) -> dict[str, str]:
    """An environment in which Python finds Sluice and the example."""
    return {"PATH": os.defpath, "PYTHONPATH": f"{packages}{os.pathsep}{REPOSITORY}", **more}


def charge() -> StripeEvent:
    """A customer paid 42.00."""
    about = {"id": "ch_loyal", "object": "charge", "customer": "cus_7", "amount": 4200, "amount_captured": 4200}
    envelope = {"id": "evt_loyal", "object": "event", "type": "charge.succeeded", "created": 1_790_000_000}
    return read_event(json.dumps({**envelope, "livemode": True, "data": {"object": about}}).encode())


@asynccontextmanager
async def processor(packages: Path, database_url: str, nats_url: str) -> AsyncIterator[None]:
    """The real processor, with the example installed beside it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "processor"),
        cwd=packages,
        env=environment(packages, DATABASE_URL=database_url, NATS_URL=nats_url, ADMIN_HOST="127.0.0.1", ADMIN_PORT="0"),
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_the_installed_package_has_its_effect_without_a_fork(
    packages: Path, migrated_url: str, postgres_server: PostgresServer, nats_url: str
) -> None:
    """Its handler is found through the entry point; its row and processed = true are one commit, under least rights."""
    event = charge()
    await make_login_roles(migrated_url, postgres_server)
    role_url = postgres_server.url(migrated_url.rsplit("/", 1)[1], "processor")
    async with (
        Database.connect(migrated_url, application_name="test") as database,
        open_relay(migrated_url, nats_url) as relay,
        processor(packages, role_url, nats_url),
    ):
        await database.execute(RECORD, *columns_of(event))
        await until(relay.has_consumer)
        await relay.publish(event)
        await until(lambda: has_points(database))
        [settled] = await database.fetch(SETTLED)
    assert dict(settled) == {"points": 42, "processed": True, "outcome": "applied", "in_one_commit": True}


async def has_points(database: Database) -> bool:
    """Whether the customer's balance is there."""
    return bool(await database.fetch("SELECT 1 FROM loyalty_balance"))


def test_the_examples_own_tests_pass_against_what_was_installed(packages: Path, migrated_url: str) -> None:
    """A team runs its tests with nothing but pytest and a migrated database."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, EXAMPLE / "tests"],
        check=False,
        cwd=packages,
        env=environment(
            packages, DATABASE_URL=migrated_url, PYTHONDONTWRITEBYTECODE="1", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
