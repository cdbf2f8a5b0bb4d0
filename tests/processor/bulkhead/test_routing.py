"""READ COMMITTED is asked for: another default of the role or the database changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest
import pytest_asyncio

from processor.payments.backfill import Backfill, Projection
from processor.payments.ledger import RowChange, apply_facts
from processor.worker.transaction import Limits
from sluice.contract.event import StripeEvent
from sluice.error_log.error_log import ErrorLog
from sluice.outcomes import Applied
from sluice.payments.recompute import Node
from sluice.postgres.migration_files import MigrationFile
from sluice.postgres.migrator import migrate
from sluice.postgres.pool import Database
from sluice.registry import Transaction, handles
from tests.payments.history import charge, refund
from tests.processor.harness import Harness
from tests.waiting import until

SHOW = "SELECT current_setting('transaction_isolation')"
WAITING = """
SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE NOT l.granted AND a.datname = current_database()
"""
DEFAULTS = ["repeatable read", "serializable"]


@pytest_asyncio.fixture(params=DEFAULTS)
async def changed_url(database_url: str, request: pytest.FixtureRequest) -> str:
    """A database whose sessions begin with another isolation."""
    connection = await asyncpg.connect(database_url, timeout=10)
    name = database_url.rsplit("/", 1)[1]
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{request.param}'")
    await connection.close(timeout=5)
    return database_url


@pytest_asyncio.fixture(params=[True, False], ids=["direct", "behind a pooler"])
async def changed(changed_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A pool there; behind a pooler nothing is set for the session."""
    async with Database.connect(changed_url, application_name="test", statement_cache=request.param) as database:
        yield database


def _harness(database: Database, url: str) -> Harness:
    limits = Limits(transaction_seconds=30, lock_seconds=20)
    harness = Harness(database, ErrorLog(url, service="processor"), limits=limits, handler_seconds=25)
    harness.registry.add(apply_facts, ["charge.succeeded", "refund.created"])
    return harness


async def test_two_refunds_at_once_are_both_counted(changed: Database, changed_url: str) -> None:
    """The second waited for the first, and must see what it said though its own transaction is older."""
    one, other = _harness(changed, changed_url), _harness(changed, changed_url)
    may_commit = asyncio.Event()

    @handles("refund.created", registry=one.registry)
    async def hold(_: StripeEvent, tx: Transaction) -> None:
        if await tx.fetchval("SELECT count(*) FROM payment_fact WHERE object_id = 're_2'"):
            holding.set()
            await may_commit.wait()

    holding = asyncio.Event()
    paid = charge("succeeded", amount=100, amount_captured=100)
    refunds = [refund("created", at, refund_id=f"re_{at}", amount=amount) for at, amount in ((1, 20), (2, 40), (3, 40))]
    messages = await one.recorded(paid, *refunds)
    await one.take(messages[0])
    await one.take(messages[1])
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(one.take(messages[2]))
        await holding.wait()
        group.create_task(other.take(messages[3]))
        await until(lambda: _somebody_waits(changed_url))
        may_commit.set()
    rows = await changed.fetch("SELECT status, (SELECT bool_and(processed) FROM webhook_logs) FROM payment")
    assert [tuple(row) for row in rows] == [("refunded", True)]


async def test_each_transaction_asks_for_it(changed: Database, changed_url: str) -> None:
    """The processor's, and the healer's."""
    seen: list[object] = []
    harness = _harness(changed, changed_url)

    @handles("refund.created", registry=harness.registry)
    async def look(_: StripeEvent, tx: Transaction) -> Applied:
        seen.append(await tx.fetchval(SHOW))
        return Applied()

    async def take(tx: Transaction, limit: int, leave_out: Collection[Node]) -> Sequence[Node]:
        seen.append(await tx.fetchval(SHOW))
        return []

    async def project(tx: Transaction, payments: Collection[Node]) -> Sequence[RowChange]:
        raise AssertionError

    await harness.take(*await harness.recorded(refund("created")))
    await Backfill(changed, Projection(take, project), harness.errors, asyncio.Event()).run_once()
    assert seen == ["read committed", "read committed"]


async def test_a_statement_of_its_own_has_it_too(changed_url: str) -> None:
    """Ingest's writes and the relay's claims are single statements; a session of ours begins with it."""
    async with _direct(changed_url) as database:
        [row] = await database.fetch(SHOW)
    assert row[0] == "read committed"


async def test_a_migration_has_it(changed_url: str) -> None:
    """A statement after a wait for a table reads what others have committed."""
    text = f"BEGIN;\nCREATE TABLE seen AS {SHOW} AS isolation;\nCOMMIT;\n"
    await migrate(changed_url, files=[MigrationFile("bonus", "0001_seen.sql", text)])
    async with _direct(changed_url) as database:
        [row] = await database.fetch("SELECT isolation FROM seen")
    assert row[0] == "read committed"


@asynccontextmanager
async def _direct(url: str) -> AsyncIterator[Database]:
    async with Database.connect(url, application_name="test") as database:
        yield database


async def _somebody_waits(url: str) -> bool:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return bool(await connection.fetchval(WAITING))
    finally:
        await connection.close(timeout=5)
