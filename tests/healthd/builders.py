"""Snapshots in which all is well, and replicas to spoil them with."""

from dataclasses import replace

from healthd.findings import (
    Limits,
    database_findings,
    schema_findings,
    service_findings,
    stream_findings,
    webhooks_findings,
)
from healthd.observations import (
    Configured,
    DatabaseSeen,
    Observation,
    PoolSeen,
    ReplicaSeen,
    SchemaSeen,
    Seen,
    ServiceSeen,
    Snapshot,
    StreamSeen,
    WebhooksSeen,
)
from healthd.rules import NOTHING, Findings
from healthd.verdict import Verdict, blind_spots, judge

NOW = 1000.0
LIMITS = Limits()
REPLICA = ReplicaSeen(
    "10.0.0.1:9090",
    is_ready=True,
    version="1.0",
    pool=PoolSeen(size=4, idle=3, busy=1, limit=10),
    webhook_secret=Configured.OK,
    secret_key=Configured.OK,
)
OTHER_REPLICA = replace(REPLICA, address="10.0.0.2:9090")
DATABASE = DatabaseSeen(latency_seconds=0.001, connections=12, connections_limit=100)


def seen(value: Seen, *, at: float = NOW) -> Observation[Seen]:
    """A good look at that moment."""
    return Observation(seen=value, seen_at=at, looked_at=at)


def healthy() -> Snapshot:
    """Two replicas of each service, and nothing to complain of."""
    service = seen(ServiceSeen((REPLICA, OTHER_REPLICA)))
    return Snapshot(
        services={"ingest": service, "processor": service},
        database=seen(DATABASE),
        webhooks=seen(WebhooksSeen()),
        schema=seen(SchemaSeen()),
        stream=seen(StreamSeen()),
    )


def with_service(snapshot: Snapshot, name: str, observation: Observation[ServiceSeen]) -> Snapshot:
    """The snapshot with another view of one service."""
    return replace(snapshot, services={**snapshot.services, name: observation})


def findings_of(snapshot: Snapshot) -> Findings:
    """All that one look at everything says."""
    services = (service_findings(name, observation) for name, observation in snapshot.services.items())
    return NOTHING.union(
        *services,
        database_findings(snapshot.database, LIMITS),
        webhooks_findings(snapshot.webhooks, LIMITS),
        schema_findings(snapshot.schema),
        stream_findings(snapshot.stream),
    )


def verdict_of(snapshot: Snapshot, *, now: float = NOW) -> Verdict:
    """The verdict when every look is believed."""
    return judge(findings_of(snapshot) | blind_spots(snapshot, now, LIMITS))
