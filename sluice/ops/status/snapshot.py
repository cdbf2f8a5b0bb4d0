"""How it stands now, in figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice.ops.admin import ServiceSeen, look_at
from sluice.ops.connection import Connection
from sluice.ops.environment import ADMIN_URLS, Environment
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "status.sql")
SEVERITIES = ("critical", "high", "error", "warning", "info")
MOST = 10_000
"""The most webhooks that are counted, of each kind: a count that reads no more costs the same for any log."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One screen of figures."""

    backlog: int
    """Neither processed nor dead, the parked and the failing included."""
    oldest_unprocessed_age_seconds: float
    """Of those that are not parked; 0 when there is none."""
    failing: int
    """Failed at least once and tried again when due."""
    parked: int
    """Waiting for an ``events`` row that does not exist yet."""
    dead: int
    received_last_hour: int
    processed_last_hour: int
    """Of those that were received in that hour."""
    connections: int
    max_connections: int
    unresolved_errors: Mapping[str, int]
    services: Sequence[ServiceSeen]


async def take(connection: Connection, environment: Environment) -> Snapshot:
    """Ask the database and every service whose admin address is known."""
    async with connection.transaction(readonly=True):
        await connection.execute(QUERIES["read_in_order"])
        rows = await connection.fetchrow(QUERIES["look"], MOST)
        server = await connection.fetchrow(QUERIES["count_connections"])
        errors = {row["severity"]: row["rows"] for row in await connection.fetch(QUERIES["count_errors"])}
    if rows is None or server is None:
        raise LookupError("A query that always gives one row gave none.")
    return Snapshot(
        **dict(rows.items()),
        connections=server["used"],
        max_connections=server["allowed"],
        unresolved_errors={severity: errors[severity] for severity in SEVERITIES if severity in errors},
        services=await look_at_services(environment),
    )


async def look_at_services(environment: Environment) -> Sequence[ServiceSeen]:
    """Every service, the ones whose address is unknown too."""
    return await look_at({name.removesuffix("_ADMIN_URL").lower(): environment.get(name) for name in ADMIN_URLS})
