"""healthd's metrics. What other services count themselves has another name there, so that nothing counts twice."""

import math
from collections.abc import Sequence
from functools import partial

from healthd.health_state import Board
from healthd.observations import DatabaseSeen, ReplicaSeen, Seen, Sight, StreamSeen, WebhooksSeen
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
OLDEST = gauge("healthd_oldest_unprocessed_age_seconds", "Age of the oldest unprocessed webhook that is not parked.")
UNTRIED = gauge("healthd_oldest_untried_age_seconds", "Age of the oldest unprocessed webhook that was never tried.")

_PER_REPLICA: Sequence[Gauge] = (TARGET_UP, TARGET_READY, POOL_UTILISATION, POOL_CONNECTIONS, POOL_LIMIT, POOL_WAITERS)
_FIGURES: Sequence[Gauge] = (
    *(DATABASE_UP, DATABASE_LATENCY, DATABASE_CONNECTIONS, DATABASE_LIMIT, OLDEST_TRANSACTION),
    *(STREAM_UP, STREAM_PENDING, STREAM_ACK_PENDING),
    *(BACKLOG, FAILING, PARKED, DEAD, OLDEST, UNTRIED),
)
for _figure in _FIGURES:
    _figure.set(math.nan)  # or the admin port, which opens first, would show 0: PostgreSQL away


def publish(board: Board) -> None:
    """Say what the board shows now; what is gone from it is gone from the metrics."""
    _publish_verdict(board.verdict() if board.has_first_verdict else None)
    _publish_services(board)
    _publish_database(board, board.snapshot.database)
    _publish_webhooks(board, board.snapshot.webhooks)
    _publish_stream(board, board.snapshot.stream)
    _publish_ages(board)


def _publish_verdict(verdict: Verdict | None) -> None:
    """None in the first seconds: "not known yet" is no state that an alert could tell from "nobody can tell"."""
    STATUS.clear()
    FINDING.clear()
    if verdict is None:
        return
    for status in Status:
        STATUS.labels(status.value).set(status is verdict.status)
    for finding in verdict.findings:
        FINDING.labels(finding.reason.value, finding.subject).set(1)


def _publish_services(board: Board) -> None:
    for metric in _PER_REPLICA:
        metric.clear()
    for name, sight in board.snapshot.services.items():
        known = _unless_stale(board, sight)
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


def _publish_database(board: Board, sight: Sight[DatabaseSeen]) -> None:
    known = _unless_stale(board, sight)
    DATABASE_UP.set(_is_up(board, sight))
    DATABASE_LATENCY.set(known.latency_seconds if known else math.nan)
    DATABASE_CONNECTIONS.set(known.connections if known else math.nan)
    DATABASE_LIMIT.set(known.connections_limit if known else math.nan)
    OLDEST_TRANSACTION.set(known.oldest_transaction_seconds if known else math.nan)


def _publish_webhooks(board: Board, sight: Sight[WebhooksSeen]) -> None:
    known = _unless_stale(board, sight)
    BACKLOG.set(known.backlog if known else math.nan)
    FAILING.set(known.failing if known else math.nan)
    PARKED.set(known.parked if known else math.nan)
    DEAD.set(known.dead if known else math.nan)
    OLDEST.set(known.oldest_unprocessed_age_seconds if known else math.nan)
    UNTRIED.set(known.oldest_untried_age_seconds if known else math.nan)


def _publish_stream(board: Board, sight: Sight[StreamSeen]) -> None:
    known = _unless_stale(board, sight)
    STREAM_UP.set(_is_up(board, sight))
    STREAM_PENDING.set(known.pending if known else math.nan)
    STREAM_ACK_PENDING.set(known.ack_pending if known else math.nan)


def _publish_ages(board: Board) -> None:
    for source in board.snapshot.ages(board.now()):
        POLL_AGE.labels(source).set_function(partial(_age, board, source))


def _age(board: Board, source: str) -> float:
    """Asked at every scrape, so that it grows also when no look ever ends, or none was ever good."""
    age = board.snapshot.ages(board.now())[source]
    return board.now() - board.started_at if age is None else age


def _unless_stale(board: Board, sight: Sight[Seen]) -> Seen | None:
    """What was seen, as long as it is young enough to be a figure of today."""
    age = sight.age_seconds(board.now())
    return sight.seen if age is not None and age <= board.limits.stale_seconds else None


def _is_up(board: Board, sight: Sight[Seen]) -> float:
    if sight.is_stale(board.now(), after_seconds=board.limits.stale_seconds):
        return math.nan
    return sight.problem is None
