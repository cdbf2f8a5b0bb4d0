"""While PostgreSQL is away, or behind this release, nothing is fetched, and what is held waits with growing pauses."""

import asyncio
import contextlib
from collections.abc import Sequence

from processor import metrics
from sluice.failures import DatabaseUnavailable
from sluice.postgres.pool import Database
from sluice.postgres.reasons import reason_of
from sluice.postgres.sql import load_queries
from sluice.runtime.backoff import Backoff, jitter
from sluice.runtime.logs import get_logger

log = get_logger()
QUERIES = load_queries(__file__, "database_gate.sql")
FIRST_SECONDS = 0.1
LONGEST_SECONDS = 1.0
FUNCTIONS = (
    "sluice_add_facts",
    "sluice_bodies",
    "sluice_body",
    "sluice_claim_batch",
    "sluice_event_key",
    "sluice_lease_webhooks",
    "sluice_pause_webhooks",
    "sluice_payment_scopes",
    "sluice_postpone_webhook",
    "sluice_resume_webhooks",
    "sluice_settle_batch",
    "sluice_shown_scopes",
    "sluice_store_payments",
)
"""Those of the schema that the processor calls; without one of them each event would fail, one after the other."""
COLUMNS = ("invoice.newest_second", "subscription.newest_second")
"""The newest columns that it writes; so, too."""


class DatabaseGate:
    """Makes work wait for PostgreSQL; closed at the start, until it has answered once."""

    def __init__(self, database: Database, stop: asyncio.Event) -> None:
        self._database = database
        self._stop = stop
        self._pauses = 0
        self._is_on = True
        self._missing: Sequence[str] = ()

    @property
    def waits_for_migration(self) -> bool:
        """Whether PostgreSQL, when it answered last, had an older schema than this release works with."""
        return bool(self._missing)

    @property
    def is_on(self) -> bool:
        """Whether the last thing that was asked of PostgreSQL failed for want of PostgreSQL."""
        return self._is_on

    def begin(self) -> None:
        """PostgreSQL is away."""
        self._is_on = True
        metrics.IN_OUTAGE.set(1)

    async def has_answer(self) -> bool:
        """Whether PostgreSQL answers at this moment, takes writes, and has all that is called and written."""
        return await self.what_prevents_work() is None

    async def what_prevents_work(self) -> str | None:
        """Why nothing could be processed now, in fixed words; None: nothing prevents it."""
        try:
            (row,) = await self._database.fetch(QUERIES["look"], FUNCTIONS, COLUMNS)
        except DatabaseUnavailable as error:
            return reason_of(error)
        self._note_missing(row["missing"])
        if row["missing"]:
            return "its schema is older than this release; run sluice migrate"
        return None if row["is_writable"] else "it takes no writes (a standby?)"

    async def lasts(self) -> bool:
        """Whether work still waits: PostgreSQL was asked again, and after its silence there was a pause."""
        if not self._is_on:
            return False
        if not await self.has_answer():
            self.begin()
            await self.pause()
            return True
        log.info("database_answers")
        self.is_over()
        return False

    def is_over(self) -> None:
        """PostgreSQL answered, but only work that succeeds makes the pauses short again."""
        self._is_on = False
        metrics.IN_OUTAGE.set(0)

    def work_succeeded(self) -> None:
        """A transaction committed."""
        self.is_over()
        self._pauses = 0

    async def pause(self) -> None:
        """Wait a little longer than the last time; a stop ends the wait."""
        self._pauses += 1
        pause_seconds = Backoff(FIRST_SECONDS, LONGEST_SECONDS, spread=jitter(0.5)).seconds(self._pauses)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_seconds):
                await self._stop.wait()

    def _note_missing(self, missing: Sequence[str]) -> None:
        if missing and missing != self._missing:
            log.warning("schema_is_behind", missing=missing, cure="run sluice migrate; work begins by itself then")
        self._missing = missing
