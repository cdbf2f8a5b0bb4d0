"""How it stands now, in figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.ops.admin import ServiceSeen, look_at
from sluice.ops.connection import Connection
from sluice.ops.environment import ADMIN_URLS, HEALTH_TARGETS, OPTIONAL_ADMIN_URLS, Environment
from sluice.ops.replicas import replicas_of
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "status.sql")
SEVERITIES = ("critical", "high", "error", "warning", "info")
MOST = 10_000
"""The most webhooks that are counted, of each kind: a count that reads no more costs the same for any log."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One Stripe account in one mode, as the reconciler knows it."""

    mode: str
    account: str
    complete_until: datetime
    """All that Stripe created before is in the log."""
    behind_seconds: float
    filled: int
    """Webhooks that had not arrived and were recorded, ever."""
    missing: int
    """Found missing by a pass that is under way, or not recordable."""
    problem: str | None


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
    accounts: Sequence[Reconciled] = ()
    """Those that are furthest behind; none where nothing reconciles."""
    thin_waiting: int = 0
    """Thin events that wait for their full event."""


async def take(connection: Connection, environment: Environment) -> Snapshot:
    """Ask the database and every service whose admin address is known."""
    async with connection.transaction(readonly=True):
        await connection.execute(QUERIES["read_in_order"])
        rows = await connection.fetchrow(QUERIES["look"], MOST)
        server = await connection.fetchrow(QUERIES["count_connections"])
        accounts = [Reconciled(**dict(row)) for row in await connection.fetch(QUERIES["look_at_accounts"])]
        thin_waiting = await connection.fetchval(QUERIES["count_thin"])
        errors = {row["severity"]: row["rows"] for row in await connection.fetch(QUERIES["count_errors"])}
    if rows is None or server is None:
        raise LookupError("A query that always gives one row gave none.")
    return Snapshot(
        **dict(rows.items()),
        connections=server["used"],
        max_connections=server["allowed"],
        unresolved_errors={severity: errors[severity] for severity in SEVERITIES if severity in errors},
        services=await look_at_services(environment),
        accounts=accounts,
        thin_waiting=thin_waiting,
    )


async def look_at_services(environment: Environment) -> Sequence[ServiceSeen]:
    """
    Ask every replica that HEALTH_TARGETS names; without it, every service at its own address.

    A service whose address is unknown is told of, but for those that need not be there.
    """
    if targets := environment.get(HEALTH_TARGETS):
        healthd = {"healthd": url} if (url := environment.get("HEALTHD_ADMIN_URL")) else {}
        return await look_at({**await replicas_of(targets), **healthd})
    names = (*ADMIN_URLS, *(name for name in OPTIONAL_ADMIN_URLS if environment.get(name)))
    return await look_at({name.removesuffix("_ADMIN_URL").lower(): environment.get(name) for name in names})
