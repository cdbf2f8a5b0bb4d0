"""A harness for each test: the processor's parts on a database of its own, or on a server of its own."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from devstack.postgres import PostgresServer
from sluice.error_log.error_log import ErrorLog
from sluice.postgres.pool import Database
from tests.processor.harness import EFFECTS, Harness, with_effects
from tests.template import apply_migrations

_numbers = itertools.count()


@pytest_asyncio.fixture
async def harness(database: Database, database_url: str) -> Harness:
    """A processor whose one handler writes a row that nothing keeps from being there twice."""
    await database.execute(EFFECTS)
    harness = Harness(database, ErrorLog(database_url, service="processor"))
    with_effects(harness.registry)
    return harness


@pytest_asyncio.fixture
async def own_postgres(session_folder: Path) -> AsyncIterator[PostgresServer]:
    """A migrated PostgreSQL that this test may stop."""
    server = await PostgresServer.start(session_folder / f"own-{next(_numbers)}")
    await apply_migrations(server.url())
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def own_harness(own_postgres: PostgresServer) -> AsyncIterator[Harness]:
    """A harness on it."""
    url = own_postgres.url()
    async with Database.connect(url, application_name="test") as database:
        await database.execute(EFFECTS)
        harness = Harness(database, ErrorLog(url, service="processor"), hold_seconds=60)
        with_effects(harness.registry)
        yield harness
