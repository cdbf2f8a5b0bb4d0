"""A PostgreSQL that takes every byte and says nothing, in the middle of a transaction: no wait is without an end."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest_asyncio

from processor.worker.transaction import Limits
from sluice.contract.event import StripeEvent
from sluice.error_log.error_log import ErrorLog
from sluice.postgres.pool import Database
from sluice.registry import Transaction, handles
from tests.processor.harness import EFFECTS, Harness, event, with_effects, write_effect
from tests.wire import Wire


@pytest_asyncio.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    """The way to PostgreSQL, which can be cut."""
    server = urlsplit(database_url)
    async with Wire(server.hostname or "", server.port or 0).open() as wire:
        yield wire


@pytest_asyncio.fixture
async def far(database_url: str, wire: Wire) -> AsyncIterator[Harness]:
    """A harness at the other end of the wire."""
    url = database_url.replace(f":{urlsplit(database_url).port}/", f":{wire.port}/")
    async with Database.connect(url, application_name="test", command_seconds=0.5) as database:
        await database.execute(EFFECTS)
        errors = ErrorLog(url, service="processor")
        far = Harness(database, errors, handler_seconds=0.4, hold_seconds=20, limits=Limits(0.5, 0.2))
        with_effects(far.registry)
        yield far


async def test_postgres_falls_silent_in_a_transaction(far: Harness, wire: Wire) -> None:
    """Neither the statement nor the rollback is answered; once the wire is whole, each event has its effect."""
    cut = asyncio.Event()

    @handles("test.cuts", registry=far.registry)
    async def write_into_the_void(of: StripeEvent, tx: Transaction) -> None:
        if not cut.is_set():
            wire.cut()
            cut.set()
        await write_effect(of, tx)

    messages = await far.recorded(event("test.cuts"), event())
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(far.take(*messages))
        await cut.wait()
        await asyncio.sleep(1.5)  # longer than the transaction and its rollback may take
        wire.mend()
    assert await far.effects() == {message.event.stripe_event_id: 1 for message in messages}
    assert [(await far.row(message.event))["processing_attempts"] for message in messages] == [0, 0]
    assert all(message.is_acknowledged for message in messages)
