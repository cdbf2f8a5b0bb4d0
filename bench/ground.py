"""The common ground: one PostgreSQL and one NATS for all candidates, and what is on them."""

import asyncio
import itertools
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from bench.candidates import CANDIDATES
from bench.webhooks import ORGANISED, organised
from devstack.maintenance import maintain
from devstack.nats import NatsServer
from devstack.postgres import PostgresServer
from sluice.postgres.migrator import migrate

_SETTLE_SECONDS = 120.0
_OURS = ("webhook_delivery", "error_logs", "payment_fact", "payment", "subscription", "invoice", "events")
_ACCOUNT = """
SELECT count(*) AS rows, count(*) FILTER (WHERE processed) AS processed,
       (SELECT count(*) FROM error_logs) AS error_rows FROM webhook_logs
"""


@dataclass(frozen=True, slots=True)
class Account:
    """The contents of PostgreSQL after a run."""

    rows: int
    processed: int
    error_rows: int


@dataclass(frozen=True, slots=True)
class Ground:
    """Where candidates run."""

    folder: Path
    database_url: str
    nats_url: str
    secret: str
    serials: Iterator[int] = field(default_factory=lambda: itertools.count(0, 2_000_000))
    """The first serial of each run: one that JetStream saw within two minutes would wait for the relay's repair."""

    def environment(self, **more: str) -> Mapping[str, str]:
        """The environment of a candidate's process, and nothing of ours besides."""
        return {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.database_url,
            "NATS_URL": self.nats_url,
            "STRIPE_WEBHOOK_SECRET": self.secret,
            "LISTEN_HOST": "127.0.0.1",
            "ADMIN_HOST": "127.0.0.1",
            "LOG_LEVEL": "warning",
            **more,
        }

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """A connection of the bench's own."""
        connection = await asyncpg.connect(self.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def sweep(self) -> None:
        """Leave no row of an earlier run, and nothing for a checkpoint to do during the next."""
        tables = {*_OURS, *(candidate.table for candidate in CANDIDATES if candidate.table)}
        async with self.connected() as connection:
            present = [table for table in tables if await connection.fetchval("SELECT to_regclass($1)", table)]
            await connection.execute(f"TRUNCATE {', '.join(present)}")
            await connection.executemany(
                "INSERT INTO events (id, name) VALUES ($1, 'an evening')",
                [(organised(number),) for number in range(ORGANISED)],
            )
            await connection.execute("VACUUM ANALYZE")
            await connection.execute("CHECKPOINT")

    async def rows(self, table: str) -> int:
        """How many webhooks landed."""
        async with self.connected() as connection:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608

    async def account(self) -> Account:
        """Count what Sluice's tables hold now."""
        async with self.connected() as connection:
            return Account(**dict(await connection.fetchrow(_ACCOUNT) or {}))

    async def settled(self, *, left: int = 0) -> None:
        """Wait until no more than so many webhooks are unprocessed."""
        async with self.connected() as connection, asyncio.timeout(_SETTLE_SECONDS):
            while await connection.fetchval("SELECT count(*) FROM webhook_logs WHERE NOT processed") > left:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def prepare() -> AsyncIterator[Ground]:
    """PostgreSQL (durable, as in production) and NATS with file storage, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # noqa: ASYNC240 - once; root's PostgreSQL is another user
        postgres = await PostgresServer.start(folder / "postgres")
        nats = await NatsServer.start(folder / "nats")
        try:
            await _keep_commit_times(postgres)
            await migrate(postgres.url())
            await maintain(postgres.url())  # bodies go into partitions, as where the CronJob runs
            yield Ground(folder, postgres.url(), nats.url, f"whsec_{secrets.token_hex(16)}")
        finally:
            await nats.stop()
            await postgres.stop()


async def _keep_commit_times(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url())
    try:
        await connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    finally:
        await connection.close()
    await postgres.restart()
