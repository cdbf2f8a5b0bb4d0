"""Real servers for every test: one PostgreSQL for the session, a database of its own and a NATS for each test."""

import gc
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from pydantic import SecretStr

from devstack.nats import NatsServer
from devstack.postgres import PostgresServer
from devstack.roles import make_login_roles
from devstack.schema import apply_migrations
from sluice.runtime.settings import ServiceSettings
from tests.wire import Wire

if TYPE_CHECKING:
    from devstack.stack import Stack
    from sluice.postgres.pool import Database

TEMPLATE = "sluice_template"
# What makes a database survive a power cut costs more than the tests: each DROP DATABASE would write everything out.
# No test cuts the power, and what a commit means to a PostgreSQL that is killed stays as it is.
UNPLUGGED = {"fsync": "off", "full_page_writes": "off", "checkpoint_flush_after": "0", "backend_flush_after": "0"}
_numbers = count(1)

# Hypothesis takes a stall of the machine for a slow example; its own profile for CI has no deadline either.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if settings.get_current_profile_name() == "default":
    settings.load_profile("patient")


def pytest_collection_finish() -> None:
    """Freeze what the collection made: looking through it again and again stops every server here for 0.3 s."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Tell of a failure undisturbed.

    Garbage whose end is logged with a traceback, in the middle of pytest's own reading of sources, breaks CPython's
    parser before 3.11.8 (python/cpython#106905); the run would end without a word on which test failed.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _quiet_environment() -> None:
    """A shell that points at production never reaches a test."""
    settings = ("DATABASE_URL", "NATS_URL", "APP_ENV", "NODE_ENV", "PUBLIC_URL")
    for name in (*settings, "STRIPE_API_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's unprivileged user can reach too; gone when the session ends."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server(session_folder: Path) -> AsyncIterator[PostgresServer]:
    """One PostgreSQL for the session; a test that stops it starts its own instead, as durable as in production."""
    server = await PostgresServer.start(session_folder / "postgres", settings=UNPLUGGED)
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _template(postgres_server: PostgresServer) -> str:
    """A database with all migrations, from which each test's own is cloned."""
    await _execute(postgres_server, f"CREATE DATABASE {TEMPLATE}")
    await apply_migrations(postgres_server.url(TEMPLATE))
    await make_login_roles(postgres_server.url(TEMPLATE), postgres_server)
    await _execute(postgres_server, "SELECT sluice_prepare_bodies(3)", database=TEMPLATE)
    return TEMPLATE


@pytest_asyncio.fixture
async def empty_database_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The superuser's address of a database of this test's own, with nothing in it."""
    async with _fresh_database(postgres_server, "template0") as name:
        yield postgres_server.url(name)


@pytest_asyncio.fixture
async def database_url(postgres_server: PostgresServer, _template: str) -> AsyncIterator[str]:
    """The superuser's address of a database of this test's own, with all migrations."""
    async with _fresh_database(postgres_server, _template) as name:
        yield postgres_server.url(name)


@pytest.fixture
def role_url(postgres_server: PostgresServer, database_url: str) -> Callable[[str], str]:
    """The address of this test's database for one of the login roles ingest, processor and healthd."""
    name = database_url.rsplit("/", 1)[1]

    def url_for(role: str) -> str:
        return postgres_server.url(name, role)

    return url_for


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator["Database"]:
    """A pool on this test's database, as the services have it."""
    from sluice.postgres.pool import Database  # noqa: PLC0415 - only the tests that want it pay for it

    async with Database.connect(database_url, application_name="test") as database:
        yield database


@pytest_asyncio.fixture
async def nats_server() -> AsyncIterator[NatsServer]:
    """A NATS with JetStream and an empty store, for this test alone."""
    with tempfile.TemporaryDirectory(prefix="sluice-nats-", ignore_cleanup_errors=True) as folder:
        server = await NatsServer.start(Path(folder))
        yield server
        await server.stop()


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    """The address of this test's NATS."""
    return nats_server.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator["Stack"]:
    """
    The whole system, for all tests of a module, in a folder and on ports of its own.

    It lives in the module's event loop: such a module says ``pytestmark = pytest.mark.asyncio(loop_scope="module")``.
    """
    from devstack.options import Options  # noqa: PLC0415 - few tests need the whole
    from devstack.stack import Stack  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp(prefix="sluice-stack-"))
    folder.chmod(0o711)
    try:
        async with Stack(Options(folder=folder / "local", port=0)) as stack:
            yield stack
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _fresh_database(server: PostgresServer, template: str) -> AsyncIterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name
    finally:
        await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(server: PostgresServer, statement: str, *, database: str = "postgres") -> None:
    connection = await asyncpg.connect(server.url(database), timeout=30)
    try:
        await connection.execute(statement, timeout=60)
    finally:
        await connection.close(timeout=5)


@pytest.fixture
def make_settings() -> Callable[..., ServiceSettings]:
    """Settings of a service, of which a test says only what matters to it."""

    def make(database_url: str = "postgresql://nobody@127.0.0.1:1/none", **values: object) -> ServiceSettings:
        return ServiceSettings.model_validate(
            {"database_url": SecretStr(database_url), "admin_host": "127.0.0.1", "admin_port": 0, **values}
        )

    return make


@pytest_asyncio.fixture
async def own_postgres(session_folder: Path) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL that this test may stop."""
    server = await PostgresServer.start(session_folder / "own-postgres")
    yield server
    await server.stop()


@pytest.fixture
def wire() -> type[Wire]:
    """The proxy that can be cut."""
    return Wire
