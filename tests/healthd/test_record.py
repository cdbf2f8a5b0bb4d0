"""healthd's answers stay on record by the minute, whether PostgreSQL was away or healthd restarted."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp

from healthd.findings import Limits
from healthd.health_state import HealthState
from healthd.observations import (
    Observation,
    Problem,
    ReplicaSeen,
    SchemaSeen,
    Seen,
    ServiceSeen,
    StreamSeen,
    WebhooksSeen,
)
from healthd.record import Recorder
from sluice.postgres.pool import Database
from tests.healthd.builders import DATABASE, REPLICA
from tests.healthd.running import health_when, running, targets
from tests.waiting import until

BEAT_SECONDS = 60.0
SERVICES = ["ingest", "processor"]


class Watch:
    """A health state with a clock that a test turns, and the recorder of what is on it."""

    def __init__(self, database: Database, *, retain_days: int = 35) -> None:
        self.now = 1000.0
        self.state = HealthState(SERVICES, Limits(), clock=lambda: self.now)
        self.recorder = Recorder(
            self.state, database, beat_seconds=BEAT_SECONDS, retain_days=retain_days, within_seconds=2
        )

    def look(self, *replicas: ReplicaSeen, after: float = 5, database: Problem | None = None) -> None:
        """One round of looks, twice, so that they convince; the verdict goes on record."""
        self.now += after
        for _ in range(2):
            for name in SERVICES:
                self.state.put_service(name, self._seen(ServiceSeen(replicas or (REPLICA,))))
            self.state.put_webhooks(self._seen(WebhooksSeen()))
            self.state.put_schema(self._seen(SchemaSeen()))
            self.state.put_stream(self._seen(StreamSeen()))
            seen = self._seen(DATABASE)
            self.state.put_database(seen if database is None else seen.missed(database, at=self.now))
        self.recorder.note(self.state.verdict())

    def _seen(self, value: Seen) -> Observation[Seen]:
        return Observation(seen=value, seen_at=self.now, looked_at=self.now)


async def _rows(database: Database) -> Sequence[tuple[object, ...]]:
    rows = await database.fetch(
        "SELECT status, round(extract(epoch FROM ended_at - began_at))::int AS seconds, pool_timeouts, errors_lost"
        " FROM health_verdict ORDER BY began_at, id"
    )
    return [tuple(row.values()) for row in rows]


async def test_a_beat_writes_one_row_and_a_change_begins_another(database: Database) -> None:
    """Healthy, unhealthy, healthy: each with its own time, without a gap between."""
    watch = Watch(database)
    watch.look()
    for _ in range(4):
        watch.look()
    watch.look(database=Problem.UNREACHABLE)
    watch.look(database=Problem.UNREACHABLE)
    watch.look()
    watch.look()
    await watch.recorder.write()
    assert await _rows(database) == [("healthy", 25, 0, 0), ("unhealthy", 10, 0, 0), ("healthy", 5, 0, 0)]
    (row,) = await database.fetch("SELECT reasons FROM health_verdict WHERE status = 'unhealthy'")
    assert row["reasons"] == ["database_down"]


async def test_nothing_is_recorded_before_the_first_verdict(database: Database) -> None:
    """A start is no red minute: until the first verdict healthd is not ready."""
    watch = Watch(database)
    watch.recorder.note(watch.state.verdict())
    watch.now += 5
    watch.recorder.note(watch.state.verdict())
    await watch.recorder.write()
    assert await _rows(database) == []


async def test_what_postgresql_did_not_take_is_written_later_as_one(database: Database) -> None:
    """An outage of PostgreSQL is what is most worth knowing, and what cannot be written while it lasts."""
    watch = Watch(database)
    watch.look()
    watch.look()
    await database.execute("ALTER TABLE health_verdict RENAME TO away")
    for _ in range(3):
        watch.look(database=Problem.UNREACHABLE, after=BEAT_SECONDS)
        await watch.recorder.write()
    await database.execute("ALTER TABLE away RENAME TO health_verdict")
    watch.look()
    await watch.recorder.write()
    assert await _rows(database) == [("healthy", 65, 0, 0), ("unhealthy", 125, 0, 0)]


async def test_a_machine_that_slept_leaves_a_gap(database: Database) -> None:
    """An hour without a look is an hour of which nothing is known."""
    watch = Watch(database)
    watch.look()
    watch.look()
    watch.look(after=3600)
    watch.look()
    await watch.recorder.write()
    assert await _rows(database) == [("healthy", 5, 0, 0), ("healthy", 5, 0, 0)]


async def test_counters_of_the_replicas_are_recorded_as_they_grow(database: Database) -> None:
    """Counts from before this healthd's first look are left out; a restarted replica counts from 0."""
    watch = Watch(database)
    old = replace(REPLICA, uptime_seconds=1e6, pool_timeouts=7, errors_lost=9)
    watch.look(old)
    watch.look(replace(old, uptime_seconds=1e6 + 5, pool_timeouts=8))
    watch.look(replace(old, uptime_seconds=1.0, pool_timeouts=2, errors_lost=1))
    watch.look(
        replace(old, uptime_seconds=6.0, pool_timeouts=2, errors_lost=1),
        replace(old, address="10.0.0.9:9090", uptime_seconds=2.0, pool_timeouts=1, errors_lost=0),
    )
    await watch.recorder.write()
    assert await _rows(database) == [("healthy", 15, 2 * (1 + 2 + 1), 2 * 1)]  # the same replicas in both services


async def test_old_rows_are_forgotten(database: Database) -> None:
    """After the days that are set, and not before."""
    await database.execute(
        "INSERT INTO health_verdict (healthd, began_at, ended_at, status, reasons, pool_timeouts, errors_lost)"
        " SELECT 'old', at, at, 'healthy', '{}', 0, 0"
        " FROM (VALUES (now() - interval '8 days'), (now() - interval '6 days')) AS moment (at)"
    )
    watch, stop = Watch(database, retain_days=7), asyncio.Event()
    stop_after_one_round = asyncio.create_task(watch.recorder.run(stop))
    watch.look()
    watch.look(database=Problem.UNREACHABLE)  # a change is written at once, and the old goes with it
    await until(lambda: _counts(database, 2))
    stop.set()
    await stop_after_one_round


async def _counts(database: Database, rows: int) -> bool:
    return len(await _rows(database)) == rows


async def test_the_real_process_leaves_its_record(
    tmp_path: Path,
    database: Database,
    role_url: Callable[[str], str],
) -> None:
    """At each change and at its end, with the rights of its role; the next process goes on beside it."""
    ports = targets(1, 1)  # nothing listens there: unhealthy
    settings = {"DATABASE_URL": role_url("healthd"), "HEALTH_TARGETS": ports, "HEALTH_RECORD_SECONDS": "0.5"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
        for starts in (1, 2):
            async with running(tmp_path, **settings) as healthd:
                await health_when(client, healthd.admin, lambda status, _: status == 503)
                await until(lambda: _has_starts(database, starts))  # noqa: B023  awaited here
    rows = await database.fetch("SELECT DISTINCT status, 'service_down' = ANY (reasons) AS is_told FROM health_verdict")
    assert [tuple(row.values()) for row in rows] == [("unhealthy", True)]


async def _has_starts(database: Database, count: int) -> bool:
    (row,) = await database.fetch("SELECT count(DISTINCT healthd) AS starts FROM health_verdict")
    return bool(row["starts"] == count)
