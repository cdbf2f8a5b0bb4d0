"""What Sluice really knows about the time since a deployment."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sluice.ops.admin import ServiceSeen, http_status
from sluice.ops.connection import Connection
from sluice.ops.status.snapshot import QUERIES, look_at_services
from sluice.ops.surroundings import Surroundings

LOAD_TEST_FILE = "load-test.json"


@dataclass(frozen=True, slots=True)
class LoadTest:
    """The newest load test on record, from ``sluice send --burst``."""

    at: datetime
    connections: int
    sent: int
    accepted: int
    slowest_seconds: float


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
    failing: int
    died_in_silence: int
    """Dead without a row of ``error_logs`` that names it."""
    reported: int
    """Rows of ``error_logs``."""
    services: Sequence[ServiceSeen]
    health_url: str | None
    health_status: int | None
    """What the health endpoint answers now; None: nothing."""
    load_test: LoadTest | None


async def gather(connection: Connection, surroundings: Surroundings, *, window_seconds: float) -> Evidence:
    """Collect what the database, the admin ports and the last load test tell."""
    past = await connection.fetchrow(QUERIES["look_back"], window_seconds)
    failures = await connection.fetchrow(QUERIES["count_failures"], window_seconds)
    if past is None or failures is None:
        raise LookupError("A query that always gives one row gave none.")
    url = health_url(surroundings)
    return Evidence(
        window_seconds=window_seconds,
        **dict(past.items()),
        **dict(failures.items()),
        reported=await connection.fetchval(QUERIES["count_reported"], window_seconds),
        services=await look_at_services(surroundings),
        health_url=url,
        health_status=None if url is None else await http_status(url),
        load_test=read_load_test(surroundings.stack_folder),
    )


def health_url(surroundings: Surroundings) -> str | None:
    """Where the public health endpoint is, when somebody says."""
    gateway = surroundings.get("GATEWAY_URL")
    return None if gateway is None else f"{gateway.rstrip('/')}/api/health"


def read_load_test(folder: Path | None) -> LoadTest | None:
    """The newest load test that was recorded beside the stack; None where there is none, or it cannot be read."""
    if folder is None:
        return None
    try:
        record = json.loads((folder / LOAD_TEST_FILE).read_text(encoding="utf-8"))
        record["at"] = datetime.fromisoformat(record["at"]).astimezone(UTC)
        return LoadTest(**record)
    except (OSError, ValueError, TypeError, KeyError):
        return None
