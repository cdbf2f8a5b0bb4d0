"""A workshop for each test: the processor's parts on a database of its own, or on a server of its own."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from devstack.postgres import PostgresServer
from sluice.error_log.error_log import ErrorLog
from sluice.postgres.pool import Database
from tests.processor.workshop import EFFECTS, Workshop, with_effects
from tests.template import apply_migrations

_numbers = itertools.count()


@pytest_asyncio.fixture
async def workshop(database: Database, database_url: str) -> Workshop:
    """A processor whose one handler writes a row that nothing keeps from being there twice."""
    await database.execute(EFFECTS)
    shop = Workshop(database, ErrorLog(database_url, service="processor"))
    with_effects(shop.registry)
    return shop


@pytest_asyncio.fixture
async def own_postgres(session_folder: Path) -> AsyncIterator[PostgresServer]:
    """A migrated PostgreSQL that this test may stop."""
    server = await PostgresServer.start(session_folder / f"own-{next(_numbers)}")
    await apply_migrations(server.url())
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def own_shop(own_postgres: PostgresServer) -> AsyncIterator[Workshop]:
    """A workshop on it."""
    url = own_postgres.url()
    async with Database.connect(url, application_name="test") as database:
        await database.execute(EFFECTS)
        shop = Workshop(database, ErrorLog(url, service="processor"), hold_seconds=60)
        with_effects(shop.registry)
        yield shop
