"""Gather the evidence about the time since a deployment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.ops.admin import ServiceSeen, http_status
from sluice.ops.connection import Connection
from sluice.ops.environment import Environment
from sluice.ops.status.snapshot import QUERIES, look_at_services

RESTART_SECONDS = 180.0
"""healthd writes each minute: nothing for so long is a restart, more is a time of which nothing is known."""


@dataclass(frozen=True, slots=True)
class LoadTest:
    """One load test, from ``sluice send --burst``."""

    at: datetime
    connections: int
    sent: int
    accepted: int
    slowest_seconds: float
    is_recent: bool = True
    """Whether it ended within the window."""


@dataclass(frozen=True, slots=True)
class HealthRecord:
    """Healthd's verdicts in the window (table ``health_verdict``)."""

    red_seconds: float
    """How long the health endpoint answered 503."""
    red_since: datetime | None
    red_reasons: Sequence[str]
    exhausted_seconds: float
    """How long a pool had all its connections out and tasks that waited."""
    pool_timeouts: int
    errors_lost: int
    gap_seconds: float
    """How long nothing was recorded, restarts left out."""
    gap_since: datetime | None
    stretches: int

    @property
    def is_whole(self) -> bool:
        """Whether all of the window is on record."""
        return self.gap_seconds == 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the criteria are judged by."""

    window_seconds: float
    observed_seconds: float | None
    """Since the first webhook ever; None: there was none."""
    received: int
    processed: int
    recovered: int
    """Processed at a second or later attempt."""
    died: int
    """Deaths, whatever became of the webhook since."""
    failing: int
    died_in_silence: int
    """Deaths without a row of ``error_logs`` that names the webhook."""
    reported: int
    """Rows of ``error_logs``."""
    record: HealthRecord
    services: Sequence[ServiceSeen]
    health_url: str | None
    health_status: int | None
    """What the health endpoint answers now; None: nothing."""
    load_test: LoadTest | None


async def gather(connection: Connection, environment: Environment, *, window_seconds: float) -> Evidence:
    """Collect what the database, the admin ports and the public health endpoint tell."""
    past = await connection.fetchrow(QUERIES["look_back"], window_seconds)
    failures = await connection.fetchrow(QUERIES["count_failures"], window_seconds)
    record = await connection.fetchrow(QUERIES["look_at_record"], window_seconds, RESTART_SECONDS)
    if past is None or failures is None or record is None:
        raise LookupError("A query that always gives one row gave none.")
    load_test = await connection.fetchrow(QUERIES["read_load_test"], window_seconds)
    url = health_url(environment)
    return Evidence(
        window_seconds=window_seconds,
        **dict(past.items()),
        **dict(failures.items()),
        reported=await connection.fetchval(QUERIES["count_reported"], window_seconds),
        record=HealthRecord(**dict(record.items())),
        services=await look_at_services(environment),
        health_url=url,
        health_status=None if url is None else await http_status(url),
        load_test=None if load_test is None else LoadTest(**dict(load_test.items())),
    )


def health_url(environment: Environment) -> str | None:
    """Address of the public health endpoint, where it is configured."""
    gateway = environment.get("GATEWAY_URL")
    return None if gateway is None else f"{gateway.rstrip('/')}/api/health"
