"""healthd's metrics. What other services count themselves has another name there, so that nothing counts twice."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial

from healthd.health_state import HealthState
from healthd.observations import (
    DatabaseSeen,
    GrowthSeen,
    Observation,
    PausesSeen,
    ReplicaSeen,
    Seen,
    StreamSeen,
    WebhooksSeen,
)
from healthd.rules import Status
from healthd.verdict import Verdict
from sluice.runtime.metrics import Gauge, gauge

_REPLICA = ("service", "replica")

STATUS = gauge("healthd_status", "1 for the overall status that holds now, 0 for the others.", ("status",))
FINDING = gauge("healthd_finding", "1 for each thing that is wrong now.", ("reason", "service"))
POLL_AGE = gauge(
    "healthd_poll_age_seconds", "Age of the last good look at a source; of healthd itself before that.", ("source",)
)
LIVE_REPLICAS = gauge("healthd_service_live_replicas", "Replicas of a service that answer.", ("service",))
TARGET_UP = gauge("healthd_target_up", "Whether a replica's event loop answers.", _REPLICA)
TARGET_READY = gauge("healthd_target_ready", "Whether a replica says that it takes work.", _REPLICA)
POOL_UTILISATION = gauge("healthd_pool_utilisation", "Busy connections of a replica as a share of its limit.", _REPLICA)
POOL_CONNECTIONS = gauge("healthd_pool_connections", "Connections of a replica's pool.", (*_REPLICA, "state"))
POOL_LIMIT = gauge("healthd_pool_connections_max", "Connections that a replica's pool may open.", _REPLICA)
POOL_WAITERS = gauge("healthd_pool_waiters", "Tasks of a replica that wait for a connection.", _REPLICA)
DATABASE_UP = gauge("healthd_database_up", "Whether PostgreSQL answered the newest look.")
DATABASE_LATENCY = gauge("healthd_database_latency_seconds", "How long PostgreSQL took for SELECT 1.")
DATABASE_CONNECTIONS = gauge("healthd_database_connections", "Client connections of the whole server.")
DATABASE_LIMIT = gauge("healthd_database_connections_max", "The server's max_connections.")
OLDEST_TRANSACTION = gauge(
    "healthd_oldest_transaction_age_seconds", "Age of the oldest transaction that keeps dead rows from being removed."
)
STREAM_UP = gauge("healthd_stream_up", "Whether JetStream answered the newest look.")
STREAM_PENDING = gauge("healthd_stream_pending", "Messages that no processor has been given yet.")
STREAM_ACK_PENDING = gauge("healthd_stream_ack_pending", "Messages given to a processor and not acknowledged.")
BACKLOG = gauge("healthd_webhooks_backlog", "Webhooks neither processed nor dead, parked ones too; counted to a limit.")
FAILING = gauge("healthd_webhooks_failing", "Webhooks of the backlog that failed at least once and will be retried.")
PARKED = gauge("healthd_webhooks_parked", "Webhooks of the backlog that wait for their events row.")
DEAD = gauge("healthd_webhooks_dead", "Webhooks that were given up; counted to a limit.")
PAUSES = gauge("healthd_pauses", "Pauses in force.")
PAUSE_AGE = gauge("healthd_oldest_pause_age_seconds", "Age of the oldest pause in force; 0 while nothing is paused.")
PAUSED = gauge("healthd_webhooks_paused", "Webhooks that wait for the end of a pause, no backlog; counted to a limit.")
OLDEST = gauge("healthd_oldest_unprocessed_age_seconds", "Age of the oldest unprocessed webhook that is not parked.")
UNTRIED = gauge("healthd_oldest_untried_age_seconds", "Age of the oldest unprocessed webhook that was never tried.")

TABLE_ROWS = gauge("healthd_table_rows", "Estimated rows of a table that grows with the webhooks.", ("table",))
TABLE_BYTES = gauge("healthd_table_bytes", "Bytes of such a table on disk, with its indexes.", ("table",))
BODY_BYTES = gauge("healthd_body_bytes", "Bytes of the partitions of bodies, by the age of their days.", ("age",))
PARTITION_DAYS = gauge("healthd_body_partition_days", "Days after today for which there is a partition for bodies.")
_AGES = (("1d", 1), ("7d", 7), ("30d", 30), ("older", None))
"""Days that are so old at most, and older than the ones before."""

_PER_REPLICA: Sequence[Gauge] = (TARGET_UP, TARGET_READY, POOL_UTILISATION, POOL_CONNECTIONS, POOL_LIMIT, POOL_WAITERS)
_FIGURES: Sequence[Gauge] = (
    *(DATABASE_UP, DATABASE_LATENCY, DATABASE_CONNECTIONS, DATABASE_LIMIT, OLDEST_TRANSACTION),
    *(STREAM_UP, STREAM_PENDING, STREAM_ACK_PENDING),
    *(BACKLOG, FAILING, PARKED, DEAD, OLDEST, UNTRIED, PARTITION_DAYS),
    *(PAUSES, PAUSE_AGE, PAUSED),
)
for _figure in _FIGURES:
    _figure.set(math.nan)  # or the admin port, which opens first, would show 0: PostgreSQL away


def publish(state: HealthState) -> None:
    """Say what the health state shows now; what is gone from it is gone from the metrics."""
    _publish_verdict(state.verdict() if state.has_first_verdict else None)
    _publish_services(state)
    _publish_database(state, state.snapshot.database)
    _publish_webhooks(state, state.snapshot.webhooks)
    _publish_pauses(state, state.snapshot.pauses)
    _publish_stream(state, state.snapshot.stream)
    _publish_growth(state.snapshot.growth)
    _publish_ages(state)


def _publish_verdict(verdict: Verdict | None) -> None:
    """None in the first seconds: an alert could not tell "not known yet" from "cannot be known"."""
    STATUS.clear()
    FINDING.clear()
    if verdict is None:
        return
    for status in Status:
        STATUS.labels(status.value).set(status is verdict.status)
    for finding in verdict.findings:
        FINDING.labels(finding.reason.value, finding.subject).set(1)


def _publish_services(state: HealthState) -> None:
    for metric in _PER_REPLICA:
        metric.clear()
    for name, observation in state.snapshot.services.items():
        known = _unless_stale(state, observation)
        LIVE_REPLICAS.labels(name).set(math.nan if known is None else len(known.live))
        for replica in known.replicas if known else ():
            _publish_replica(name, replica)


def _publish_replica(service: str, replica: ReplicaSeen) -> None:
    labels = (service, replica.address)
    TARGET_UP.labels(*labels).set(replica.is_live)
    TARGET_READY.labels(*labels).set(replica.is_ready)
    if replica.pool is None:
        return
    POOL_UTILISATION.labels(*labels).set(replica.pool.utilisation)
    POOL_CONNECTIONS.labels(*labels, "idle").set(replica.pool.idle)
    POOL_CONNECTIONS.labels(*labels, "busy").set(replica.pool.busy)
    POOL_LIMIT.labels(*labels).set(replica.pool.limit)
    POOL_WAITERS.labels(*labels).set(replica.pool.waiters)


def _publish_database(state: HealthState, observation: Observation[DatabaseSeen]) -> None:
    known = _unless_stale(state, observation)
    DATABASE_UP.set(_is_up(state, observation))
    DATABASE_LATENCY.set(known.latency_seconds if known else math.nan)
    DATABASE_CONNECTIONS.set(known.connections if known else math.nan)
    DATABASE_LIMIT.set(known.connections_limit if known else math.nan)
    OLDEST_TRANSACTION.set(known.oldest_transaction_seconds if known else math.nan)


def _publish_webhooks(state: HealthState, observation: Observation[WebhooksSeen]) -> None:
    known = _unless_stale(state, observation)
    BACKLOG.set(known.backlog if known else math.nan)
    FAILING.set(known.failing if known else math.nan)
    PARKED.set(known.parked if known else math.nan)
    DEAD.set(known.dead if known else math.nan)
    OLDEST.set(known.oldest_unprocessed_age_seconds if known else math.nan)
    UNTRIED.set(known.oldest_untried_age_seconds if known else math.nan)


def _publish_pauses(state: HealthState, observation: Observation[PausesSeen]) -> None:
    known = _unless_stale(state, observation)
    PAUSES.set(known.in_force if known else math.nan)
    PAUSE_AGE.set(known.oldest_age_seconds if known else math.nan)
    PAUSED.set(known.waiting if known else math.nan)


def _publish_stream(state: HealthState, observation: Observation[StreamSeen]) -> None:
    known = _unless_stale(state, observation)
    STREAM_UP.set(_is_up(state, observation))
    STREAM_PENDING.set(known.pending if known else math.nan)
    STREAM_ACK_PENDING.set(known.ack_pending if known else math.nan)


def _publish_growth(growth: GrowthSeen | None) -> None:
    if growth is None:
        return
    tables, ages = Counter[str](), Counter[str]()
    rows = Counter[str]()
    for table in growth.tables:
        tables[table.name] += table.bytes
        rows[table.name] += table.rows
        if table.age_days is not None:
            ages[_age_of(table.age_days)] += table.bytes
    for name, size in tables.items():
        TABLE_BYTES.labels(name).set(size)
        TABLE_ROWS.labels(name).set(rows[name])
    for age, _ in _AGES:
        BODY_BYTES.labels(age).set(ages[age])
    PARTITION_DAYS.set(math.nan if growth.partition_days is None else growth.partition_days)


def _age_of(days: int) -> str:
    return next(name for name, most in _AGES if most is None or days <= most)


def _publish_ages(state: HealthState) -> None:
    for source in state.snapshot.ages(state.now()):
        POLL_AGE.labels(source).set_function(partial(_age, state, source))


def _age(state: HealthState, source: str) -> float:
    """Asked at every scrape, so that it grows also when no look ever ends, or none was ever good."""
    age = state.snapshot.ages(state.now())[source]
    return state.now() - state.started_at if age is None else age


def _unless_stale(state: HealthState, observation: Observation[Seen]) -> Seen | None:
    """Return the value seen, or None once it is too old to be shown."""
    age = observation.age_seconds(state.now())
    return observation.seen if age is not None and age <= state.limits.stale_seconds else None


def _is_up(state: HealthState, observation: Observation[Seen]) -> float:
    if observation.is_stale(state.now(), after_seconds=state.limits.stale_seconds):
        return math.nan
    return observation.problem is None
