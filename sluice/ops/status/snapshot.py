"""How it stands now, in figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.operations.pauses import OpenPause, read_open
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
class SchemaFault:
    """Something of the schema that is not as it should be."""

    name: str
    finding: str
    cure: str
    """The statement that mends it."""


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
    schema_faults: Sequence[SchemaFault] = ()
    pauses: Sequence[OpenPause] = ()
    """Those in force, and those that let webhooks go yet."""
    paused: int = 0
    """Webhooks that wait for the end of a pause; no part of the backlog."""


async def take(connection: Connection, environment: Environment) -> Snapshot:
    """Ask the database and every service whose admin address is known."""
    async with connection.transaction(readonly=True):
        await connection.execute(QUERIES["read_in_order"])
        rows = await connection.fetchrow(QUERIES["look"], MOST)
        server = await connection.fetchrow(QUERIES["count_connections"])
        accounts = [Reconciled(**dict(row)) for row in await connection.fetch(QUERIES["look_at_accounts"])]
        pauses = await _pauses(connection)
        thin_waiting = await connection.fetchval(QUERIES["count_thin"])
        faults = [SchemaFault(**row) for row in await connection.fetch(QUERIES["look_at_schema"])]
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
        schema_faults=faults,
        pauses=pauses,
    )


async def _pauses(connection: Connection) -> Sequence[OpenPause]:
    """Read what is paused, where this role may know who decided on it."""
    may_read = await connection.fetchval("SELECT has_table_privilege('operation', 'SELECT')")
    return await read_open(connection, count_to=MOST) if may_read else ()


async def look_at_services(environment: Environment) -> Sequence[ServiceSeen]:
    """
    Ask every replica that HEALTH_TARGETS names; without it, every service at its own address.

    A service whose address is unknown is told of, but for those that need not be there.
    """
    if targets := environment.get(HEALTH_TARGETS):
        return await look_at(_with_healthd(await replicas_of(targets), environment.get("HEALTHD_ADMIN_URL")))
    names = (*ADMIN_URLS, *(name for name in OPTIONAL_ADMIN_URLS if environment.get(name)))
    return await look_at({name.removesuffix("_ADMIN_URL").lower(): environment.get(name) for name in names})


def _with_healthd(replicas: Mapping[str, str | None], url: str | None) -> Mapping[str, str | None]:
    """Healthd's own targets leave healthd out."""
    is_named = any(name.split()[0] == "healthd" for name in replicas)
    return replicas if is_named or url is None else {**replicas, "healthd": url}
