"""The JSON of ``GET /api/health``: made of enums, numbers and names that we chose, never of an error's text."""

from datetime import datetime

from healthd.findings import secret_key_of, webhook_secret_of
from healthd.observations import Observation, ReplicaSeen, Seen, ServiceSeen, Snapshot
from healthd.rules import KEY_HOLDER, VITAL, Part
from healthd.verdict import Verdict
from sluice.runtime.probes import JsonValue


def brief(snapshot: Snapshot, verdict: Verdict, *, now: float, at: datetime) -> dict[str, JsonValue]:
    """The public part of the answer: overall, database, Stripe's configuration."""
    return {
        "status": verdict.status.value,
        "timestamp": _moment(at),
        "database": _database(snapshot, verdict, now),
        "stripe": {
            "status": verdict.of(Part.STRIPE).value,
            "webhook_secret": webhook_secret_of(_seen(snapshot, VITAL)).value,
            "secret_key": secret_key_of(_seen(snapshot, KEY_HOLDER)).value,
        },
    }


def detailed(snapshot: Snapshot, verdict: Verdict, *, now: float, at: datetime) -> dict[str, JsonValue]:
    """The same, and what an operator wants to see besides."""
    return {
        **brief(snapshot, verdict, now=now, at=at),
        "database": {**_database(snapshot, verdict, now), "problem": _problem(snapshot.database)},
        "reasons": [_reason(finding.reason.value, finding.subject) for finding in verdict.findings],
        "services": {
            name: _service(observation, verdict.of(Part.SERVICES, name).value, now)
            for name, observation in snapshot.services.items()
        },
        "connections": _connections(snapshot),
        "webhooks": _webhooks(snapshot, verdict, now),
        "pauses": _pauses(snapshot, now),
        "schema": _schema(snapshot, verdict, now),
        "reconcile": _reconcile(snapshot, verdict, now),
        "stream": _stream(snapshot, verdict, now),
    }


def _database(snapshot: Snapshot, verdict: Verdict, now: float) -> dict[str, JsonValue]:
    observation = snapshot.database
    return {
        "status": verdict.of(Part.DATABASE).value,
        "latency_ms": round(observation.seen.latency_seconds * 1000, 3) if observation.seen else None,
        "age_seconds": _age(observation, now),
    }


def _service(observation: Observation[ServiceSeen], status: str, now: float) -> dict[str, JsonValue]:
    seen = observation.seen or ServiceSeen()
    return {
        "status": status,
        **_looked(observation, now),
        "live": len(seen.live),
        "ready": len(seen.ready),
        "replicas": [_replica(replica) for replica in seen.replicas],
    }


def _replica(replica: ReplicaSeen) -> dict[str, JsonValue]:
    return {
        "address": replica.address,
        "live": replica.is_live,
        "ready": replica.is_ready,
        "draining": replica.is_draining,
        "leaving": replica.is_leaving,
        "without_database": replica.is_without_database,
        "problem": replica.problem.value if replica.problem else None,
        "version": replica.version,
        "uptime_seconds": replica.uptime_seconds,
        "stream_connected": replica.stream_connected,
        "loses_logs": replica.loses_logs,
        "standing_still": list(replica.standing_still),
        "pool": _pool(replica),
    }


def _pool(replica: ReplicaSeen) -> JsonValue:
    if replica.pool is None:
        return None
    return {
        "idle": replica.pool.idle,
        "busy": replica.pool.busy,
        "max": replica.pool.limit,
        "waiters": replica.pool.waiters,
        "utilisation": round(replica.pool.utilisation, 3),
    }


def _connections(snapshot: Snapshot) -> JsonValue:
    seen = snapshot.database.seen
    return {"used": seen.connections, "max": seen.connections_limit} if seen else None


def _webhooks(snapshot: Snapshot, verdict: Verdict, now: float) -> dict[str, JsonValue]:
    observation = snapshot.webhooks
    seen = observation.seen
    return {
        "status": verdict.of(Part.WEBHOOKS).value,
        **_looked(observation, now),
        "backlog": seen.backlog if seen else None,
        "failing": seen.failing if seen else None,
        "parked": seen.parked if seen else None,
        "dead": seen.dead if seen else None,
        "oldest_unprocessed_age_seconds": round(seen.oldest_unprocessed_age_seconds, 3) if seen else None,
        "oldest_untried_age_seconds": round(seen.oldest_untried_age_seconds, 3) if seen else None,
        "is_lower_bound": seen.is_lower_bound if seen else None,
    }


def _pauses(snapshot: Snapshot, now: float) -> dict[str, JsonValue]:
    observation = snapshot.pauses
    seen = observation.seen
    return {
        **_looked(observation, now),
        "in_force": seen.in_force if seen else None,
        "since": _moment(seen.since) if seen and seen.since else None,
        "webhooks_waiting": seen.waiting if seen else None,
    }


def _schema(snapshot: Snapshot, verdict: Verdict, now: float) -> dict[str, JsonValue]:
    observation = snapshot.schema
    return {
        "status": verdict.of(Part.SCHEMA).value,
        **_looked(observation, now),
        "findings": list(observation.seen.findings) if observation.seen else None,
    }


def _reconcile(snapshot: Snapshot, verdict: Verdict, now: float) -> dict[str, JsonValue]:
    observation = snapshot.stripe
    seen = observation.seen
    return {
        "status": verdict.of(Part.STRIPE).value,
        **_looked(observation, now),
        "accounts": seen.accounts if seen else None,
        "behind_seconds": round(seen.behind_seconds, 3) if seen else None,
        "missing": seen.missing if seen else None,
        "refused_accounts": seen.refused if seen else None,
        "thin_events_waiting": seen.thin_waiting if seen else None,
    }


def _stream(snapshot: Snapshot, verdict: Verdict, now: float) -> dict[str, JsonValue]:
    observation = snapshot.stream
    if not snapshot.has_stream:
        return {"status": "none"}
    return {
        "status": verdict.of(Part.STREAM).value,
        **_looked(observation, now),
        "pending": observation.seen.pending if observation.seen else None,
        "ack_pending": observation.seen.ack_pending if observation.seen else None,
    }


def _looked(observation: Observation[Seen], now: float) -> dict[str, JsonValue]:
    return {"age_seconds": _age(observation, now), "problem": _problem(observation)}


def _problem(observation: Observation[Seen]) -> str | None:
    return observation.problem.value if observation.problem else None


def _age(observation: Observation[Seen], now: float) -> float | None:
    age = observation.age_seconds(now)
    return None if age is None else round(age, 3)


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _reason(reason: str, subject: str) -> JsonValue:
    return {"reason": reason, "service": subject} if subject else {"reason": reason}


def _seen(snapshot: Snapshot, name: str) -> ServiceSeen:
    observation = snapshot.services.get(name)
    return observation.seen if observation and observation.seen else ServiceSeen()
