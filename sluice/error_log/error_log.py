"""The error log: rows in ``error_logs`` that cost the work they tell of nothing, whatever is broken."""

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TypeAlias, Unpack

import asyncpg

from sluice.error_log.entry import KINDS, SEVERITIES, Circumstances, Entry, Kind, make_entry
from sluice.postgres.connect import Connector
from sluice.postgres.connect_options import connect_arguments, keep_alive
from sluice.postgres.sql import columns, load_queries
from sluice.runtime import logs, metrics
from sluice.runtime.endless import run_endless, tell_to_end, turn

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_QUERIES = load_queries(__file__, "error_log.sql")
_CAPACITY = 1_000
_BATCH = 100
_WRITE_SECONDS = 3.0
_REST_SECONDS = 1.0
_IDLE_SECONDS = 10.0
_FAREWELL_SECONDS = 1.5

_ENTRIES = metrics.counter("error_log_entries_total", "Errors reported.", ("kind", "severity"))
_DROPPED = metrics.counter("error_log_dropped_total", "Errors forgotten because too many waited.")
_FALLBACKS = metrics.counter(
    "error_log_stderr_total", "Errors written to stderr because the database did not take them."
)

# An increase from nothing is no increase to Prometheus.
for _kind in KINDS:
    for _severity in SEVERITIES:
        _ENTRIES.labels(_kind, _severity)


class ErrorLog:
    """
    Reports what went wrong, as one of four kinds; never waits, never raises.

    Entries wait in memory (at most ``capacity``; past that the oldest is dropped and counted) and are stored in
    batches over a connection of its own. What the database does not take goes to stderr. Call it in the loop's thread.
    """

    def __init__(self, dsn: str, *, service: str, statement_cache: bool = True, capacity: int = _CAPACITY) -> None:
        self._service = service
        self._arguments = connect_arguments(
            dsn,
            application_name=f"{service}-errors",
            command_seconds=_WRITE_SECONDS,
            statement_cache=statement_cache,
        )
        self._make_connection = Connector()
        self._waiting: deque[Entry] = deque(maxlen=capacity)
        self._wake = asyncio.Event()
        self._connection: _Connection | None = None
        self._lost = 0

    def status(self) -> Mapping[str, int]:
        """For ``/status``: how many reports did not become rows since the start."""
        return {"lost": self._lost}

    def note_suppressed(self) -> None:
        """Count a report that its caller left out, since there were too many."""
        self._lost += 1

    def general(self, message: str, **about: Unpack[Circumstances]) -> None:
        """Report an error of no other kind."""
        self._report("general", message, about)

    def database(self, message: str, **about: Unpack[Circumstances]) -> None:
        """Report an error of PostgreSQL."""
        self._report("database", message, about)

    def webhook(self, message: str, **about: Unpack[Circumstances]) -> None:
        """Report an error in receiving or processing a webhook."""
        self._report("webhook", message, about)

    def api(self, message: str, **about: Unpack[Circumstances]) -> None:
        """Report an error of an HTTP interface, ours or one that we call."""
        self._report("api", message, about)

    async def run(self, stop: asyncio.Event) -> None:
        """Store entries until ``stop``, then what is left, within 1.5 seconds."""
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(run_endless("error_log", self._write_for_ever), name="error_log_writer")
                await stop.wait()
                tell_to_end(writing)
            await self._farewell()
        finally:
            self._spill("shutdown")
            await self._disconnect()

    def _report(self, kind: Kind, message: str, about: Circumstances) -> None:
        try:
            entry = make_entry(kind, message, **about)
            if len(self._waiting) == self._waiting.maxlen:
                _DROPPED.inc()
                self._lost += 1
            self._waiting.append(entry)
            self._wake.set()
            _ENTRIES.labels(kind, entry.severity).inc()
        except Exception as fault:  # noqa: BLE001  the report of an error must not become one
            sys.stderr.write(f"error_log could not take an entry: {type(fault).__name__}\n")

    async def _write_for_ever(self) -> None:
        while True:
            turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                turn()
                await self._write_once()

    async def _write_once(self) -> None:
        """Store one batch, or write it to stderr and rest."""
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        try:
            await self._store(batch)
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, stderr takes the batch
            await self._disconnect()
            self._to_stderr(batch, type(error).__name__)
            await asyncio.sleep(_REST_SECONDS)

    async def _store(self, batch: Sequence[Entry]) -> None:
        now = time.monotonic()
        async with asyncio.timeout(_WRITE_SECONDS):
            connection = await self._connect()
            await connection.execute(
                _QUERIES["insert"],
                *columns((_row(entry, now - entry.happened_at) for entry in batch), 9),
                self._service,
            )

    async def _connect(self) -> _Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._make_connection(**self._arguments)
            await keep_alive(self._connection)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _farewell(self) -> None:
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                while self._waiting:
                    await self._write_once()
        except TimeoutError:
            return

    def _spill(self, reason: str) -> None:
        batch = list(self._waiting)
        self._waiting.clear()
        self._to_stderr(batch, reason)

    def _to_stderr(self, batch: Sequence[Entry], reason: str) -> None:
        for entry in batch:
            _FALLBACKS.inc()
            self._lost += 1
            row = {name: value for name, value in asdict(entry).items() if value is not None and name != "happened_at"}
            logs.get_logger().error("error_log_entry", not_stored_because=reason, **row)


def _row(entry: Entry, age_seconds: float) -> tuple[object, ...]:
    """An entry in the order of the statement."""
    ids = (entry.user_id, entry.event_id, entry.stripe_event_id)
    return (entry.severity, entry.kind, entry.message, entry.stack_trace, *ids, entry.request_data, age_seconds)
