"""Processors as processes of their own, on a test's database and NATS."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sluice.contract.event import StripeEvent
from tests.processor.harness import Harness
from tests.processor.relay import HandRelay

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = {"ACK_WAIT_SECONDS": "2", "HANDLER_SECONDS": "0.6", "LOCK_SECONDS": "0.5", "DRAIN_SECONDS": "5"}


class Processes:
    """A harness's database, a NATS, and processes that work on them."""

    def __init__(self, harness: Harness, relay: HandRelay | None, database_url: str, nats_url: str) -> None:
        self.harness = harness
        self._relay = relay
        self._environment = {
            "PATH": os.defpath,
            "DATABASE_URL": database_url,
            "NATS_URL": nats_url,
            "ADMIN_HOST": "127.0.0.1",
            "ADMIN_PORT": "0",
            **QUICK,
        }

    @property
    def relay(self) -> HandRelay:
        """The connection to a running NATS."""
        assert self._relay is not None
        return self._relay

    @asynccontextmanager
    async def processor(self, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """One processor; it is gone when the block ends."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.processor.process_under_test",
            cwd=REPOSITORY,
            env={**self._environment, **environment},
            stderr=None,  # pytest shows it when the test fails
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def are_settled(self, events: Sequence[StripeEvent]) -> bool:
        """Whether every one of them is processed or dead."""
        rows = await self.harness.database.fetch(
            "SELECT count(*) AS open FROM webhook_logs WHERE NOT processed AND dead_at IS NULL"
            " AND stripe_event_id = ANY ($1)",
            [each.stripe_event_id for each in events],
        )
        return bool(rows[0]["open"] == 0)
