"""A workshop for each test: the processor's parts on a database of its own."""

import pytest_asyncio

from sluice.chassis.error_log import ErrorLog
from sluice.chassis.postgres import Database
from tests.processor.workshop import EFFECTS, Workshop, with_effects


@pytest_asyncio.fixture
async def workshop(database: Database, database_url: str) -> Workshop:
    """A processor whose one handler writes a row that nothing keeps from being there twice."""
    await database.execute(EFFECTS)
    shop = Workshop(database, ErrorLog(database_url, service="processor"))
    with_effects(shop.registry)
    return shop
