"""Each failure makes its part and the whole as bad as the rules say."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.observations import (
    Configured,
    DatabaseSeen,
    Observation,
    PoolSeen,
    Problem,
    SchemaSeen,
    ServiceSeen,
    Snapshot,
    WebhooksSeen,
)
from healthd.rules import RULES, Finding, Part, Reason, Status
from healthd.verdict import judge
from tests.healthd.builders import (
    DATABASE,
    LIMITS,
    NOW,
    REPLICA,
    healthy,
    seen,
    verdict_of,
    with_service,
)

Spoil = Callable[[Snapshot], Snapshot]


def service(name: str, *replicas: object) -> Spoil:
    """One look at a service showed these replicas."""
    return lambda snapshot: with_service(snapshot, name, seen(ServiceSeen(replicas)))  # type: ignore[arg-type]


def unresolved(name: str) -> Spoil:
    """The resolver could not tell where a service is."""
    return lambda snapshot: with_service(snapshot, name, snapshot.services[name].missed(Problem.UNRESOLVED, at=NOW))


def webhooks(**figures: float) -> Spoil:
    """The journal's counts."""
    return lambda snapshot: replace(snapshot, webhooks=seen(WebhooksSeen(**figures)))  # type: ignore[arg-type]


def webhooks_missed(problem: Problem) -> Spoil:
    """The count failed."""
    return lambda snapshot: replace(snapshot, webhooks=snapshot.webhooks.missed(problem, at=NOW))


def database(seen_there: DatabaseSeen) -> Spoil:
    """PostgreSQL answered so."""
    return lambda snapshot: replace(snapshot, database=seen(seen_there))


def schema(*names: str) -> Spoil:
    """The schema's own check found these."""
    return lambda snapshot: replace(snapshot, schema=replace(snapshot.schema, seen=SchemaSeen(names)))


def schema_missed(problem: Problem) -> Spoil:
    """The check could not be asked."""
    return lambda snapshot: replace(snapshot, schema=snapshot.schema.missed(problem, at=NOW))


def database_down(snapshot: Snapshot) -> Snapshot:
    """PostgreSQL did not answer."""
    return replace(
        snapshot,
        database=snapshot.database.missed(Problem.UNREACHABLE, at=NOW),
        webhooks=snapshot.webhooks.missed(Problem.UNREACHABLE, at=NOW),
    )


def stream_down(snapshot: Snapshot) -> Snapshot:
    """JetStream did not answer."""
    return replace(snapshot, stream=snapshot.stream.missed(Problem.UNREACHABLE, at=NOW))


def without_stream(snapshot: Snapshot) -> Snapshot:
    """Sluice works without NATS, and no stream is watched."""
    return replace(snapshot, stream=Observation(), has_stream=False)


def no_targets(snapshot: Snapshot) -> Snapshot:
    """No target is configured."""
    return replace(snapshot, services={})


def never_looked(_: Snapshot) -> Snapshot:
    """The moment after the start."""
    return Snapshot(services={"ingest": Observation(), "processor": Observation()})


DEAD = replace(REPLICA, problem=Problem.UNREACHABLE, pool=None)
UNREADY = replace(REPLICA, is_ready=False)
DEAF = replace(REPLICA, loses_logs=True)
STILL = replace(REPLICA, standing_still=("consume_2",))
FULL = replace(REPLICA, pool=PoolSeen(size=10, idle=0, busy=10, limit=10, waiters=3))
BUSY = replace(REPLICA, pool=PoolSeen(size=10, idle=0, busy=10, limit=10))
UNREGISTERED = replace(REPLICA, endpoint_faults=("not_registered",))
FORGED = replace(REPLICA, forged_age_seconds=3_599)
FORGED_ONCE = replace(REPLICA, forged_age_seconds=3_600)
NO_SECRET = replace(REPLICA, webhook_secret=Configured.MISSING)
SILENT = replace(REPLICA, webhook_secret=Configured.UNKNOWN, secret_key=Configured.UNKNOWN)
APART = replace(REPLICA, is_without_database=True)
NO_NEED = replace(REPLICA, secret_key=Configured.NOT_NEEDED)
FROZEN = replace(REPLICA, stream_frozen=True)
CUT_OFF = replace(REPLICA, stream_connected=False)
REFUSED = replace(REPLICA, stream_settings_refused=("STREAM_REPLICAS",))
NO_KEY = replace(REPLICA, secret_key=Configured.MISSING)

CASES: list[tuple[str, Spoil, Status, set[Reason]]] = [
    ("all is well", lambda snapshot: snapshot, Status.HEALTHY, set()),
    ("before the first look", never_looked, Status.UNKNOWN, {Reason.DATABASE_UNKNOWN, Reason.SERVICE_UNKNOWN}),
    ("no targets", no_targets, Status.UNHEALTHY, {Reason.NO_TARGETS}),
    ("ingest has no address", service("ingest"), Status.UNHEALTHY, {Reason.SERVICE_DOWN}),
    ("ingest is dead", service("ingest", DEAD, DEAD), Status.UNHEALTHY, {Reason.SERVICE_DOWN, Reason.REPLICA_DOWN}),
    ("one ingest of two is dead", service("ingest", REPLICA, DEAD), Status.DEGRADED, {Reason.REPLICA_DOWN}),
    ("no ingest takes work", service("ingest", UNREADY), Status.UNHEALTHY, {Reason.SERVICE_NOT_READY}),
    ("one ingest drains", service("ingest", REPLICA, UNREADY), Status.HEALTHY, set()),
    ("ingest's name cannot be resolved", unresolved("ingest"), Status.UNKNOWN, {Reason.SERVICE_UNKNOWN}),
    ("the processor's name cannot be resolved", unresolved("processor"), Status.DEGRADED, {Reason.SERVICE_UNKNOWN}),
    ("the processor is dead", service("processor", DEAD), Status.DEGRADED, {Reason.SERVICE_DOWN}),
    ("a log is lost", service("processor", DEAF), Status.DEGRADED, {Reason.LOGS_DROPPED}),
    ("a task stands still", service("processor", STILL), Status.DEGRADED, {Reason.TASK_STUCK}),
    ("a pool is exhausted", service("processor", FULL), Status.DEGRADED, {Reason.POOL_EXHAUSTED}),
    ("a pool is busy, nothing waits", service("processor", BUSY), Status.HEALTHY, set()),
    ("a forged message lately", service("processor", FORGED), Status.DEGRADED, {Reason.MESSAGES_FORGED}),
    ("a forged message long ago", service("processor", FORGED_ONCE), Status.HEALTHY, set()),
    ("the endpoint has a fault", service("reconciler", UNREGISTERED), Status.DEGRADED, {Reason.ENDPOINT_FAULT}),
    ("no webhook secret", service("ingest", NO_SECRET), Status.UNHEALTHY, {Reason.WEBHOOK_SECRET_MISSING}),
    ("one replica without", service("ingest", REPLICA, NO_SECRET), Status.UNHEALTHY, {Reason.WEBHOOK_SECRET_MISSING}),
    ("an unreadable status", service("ingest", SILENT), Status.UNKNOWN, {Reason.WEBHOOK_SECRET_UNKNOWN}),
    ("no secret key", service("processor", NO_KEY), Status.DEGRADED, {Reason.SECRET_KEY_MISSING}),
    ("a secret key that nothing uses", service("processor", NO_NEED), Status.HEALTHY, set()),
    ("ingest cannot reach it", service("ingest", APART), Status.UNHEALTHY, {Reason.SERVICE_WITHOUT_DATABASE}),
    ("one of two cannot", service("ingest", REPLICA, APART), Status.DEGRADED, {Reason.REPLICA_WITHOUT_DATABASE}),
    ("the processor cannot", service("processor", APART), Status.DEGRADED, {Reason.SERVICE_WITHOUT_DATABASE}),
    ("database down", database_down, Status.UNHEALTHY, {Reason.DATABASE_DOWN, Reason.WEBHOOKS_UNKNOWN}),
    ("connections scarce", database(replace(DATABASE, connections=90)), Status.DEGRADED, {Reason.CONNECTIONS_SCARCE}),
    ("anon reads secrets", schema("secret_readable"), Status.DEGRADED, {Reason.SECRET_EXPOSED}),
    ("an index is unfinished", schema("index_invalid"), Status.DEGRADED, {Reason.SCHEMA_FAULT}),
    ("an old schema", schema_missed(Problem.NO_SCHEMA), Status.DEGRADED, {Reason.SCHEMA_UNKNOWN}),
    ("no tables", webhooks_missed(Problem.NO_SCHEMA), Status.UNHEALTHY, {Reason.SCHEMA_MISSING}),
    ("no grant", webhooks_missed(Problem.FORBIDDEN), Status.DEGRADED, {Reason.WEBHOOKS_UNKNOWN}),
    ("count too slow", webhooks_missed(Problem.TIMED_OUT), Status.DEGRADED, {Reason.WEBHOOKS_UNKNOWN}),
    ("a young backlog", webhooks(backlog=5000, oldest_unprocessed_age_seconds=299), Status.HEALTHY, set()),
    ("an old backlog", webhooks(backlog=1, oldest_unprocessed_age_seconds=301), Status.DEGRADED, {Reason.BACKLOG_OLD}),
    ("a dead row", webhooks(dead=1), Status.DEGRADED, {Reason.DEAD_WEBHOOKS}),
    ("parked rows wait on purpose", webhooks(backlog=3, parked=3), Status.HEALTHY, set()),
    ("NATS down", stream_down, Status.DEGRADED, {Reason.STREAM_DOWN}),
    ("no NATS is wanted", without_stream, Status.HEALTHY, set()),
    ("nothing can be published", service("ingest", REPLICA, FROZEN), Status.DEGRADED, {Reason.STREAM_FROZEN}),
    ("the way to the stream is broken", service("processor", CUT_OFF), Status.DEGRADED, {Reason.STREAM_DOWN}),
    ("nothing is consumed", service("processor", FROZEN), Status.DEGRADED, {Reason.STREAM_FROZEN}),
    ("one server alone", service("ingest", REFUSED), Status.DEGRADED, {Reason.STREAM_SETTING_REFUSED}),
]


@pytest.mark.parametrize(("spoil", "status", "reasons"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_failure_has_its_verdict_and_its_reason(spoil: Spoil, status: Status, reasons: set[Reason]) -> None:
    """One thing goes wrong where all was well: the table says what the whole is and which reason is given."""
    verdict = verdict_of(spoil(healthy()))
    assert verdict.status is status
    assert reasons <= {finding.reason for finding in verdict.findings}
    assert bool(verdict.findings) == (status is not Status.HEALTHY)


def test_only_healthy_and_degraded_are_serving() -> None:
    """Unknown is not good enough for a monitor."""
    serving = {status for status in Status if judge(frozenset(_one_of(status))).is_serving}
    assert serving == {Status.HEALTHY, Status.DEGRADED}


def _one_of(status: Status) -> set[Finding]:
    return {Finding(reason) for reason in Reason if RULES[reason].overall is status and reason is not Reason.NO_TARGETS}


@pytest.mark.parametrize(("part", "status"), [(Part.DATABASE, Status.UNKNOWN), (Part.STREAM, Status.UNKNOWN)])
def test_a_source_not_looked_at_becomes_unknown(part: Part, status: Status) -> None:
    """After three periods without a look the last value says nothing any more."""
    assert verdict_of(healthy(), now=NOW + LIMITS.stale_seconds).of(part) is Status.HEALTHY
    late = verdict_of(healthy(), now=NOW + LIMITS.stale_seconds + 0.1)
    assert late.of(part) is status
    assert late.of(Part.SERVICES, "ingest") is Status.UNKNOWN
    assert late.status is Status.UNKNOWN


def test_every_reason_has_a_rule() -> None:
    """No reason can be added without saying what it means."""
    assert set(RULES) == set(Reason)


def test_a_part_is_never_blamed_for_another() -> None:
    """A dead processor leaves ingest, database and stripe as they are."""
    verdict = verdict_of(service("processor", DEAD)(healthy()))
    assert verdict.of(Part.SERVICES, "processor") is Status.UNHEALTHY
    assert verdict.of(Part.SERVICES, "ingest") is Status.HEALTHY
    assert verdict.of(Part.DATABASE) is Status.HEALTHY


# Each makes things worse, whatever they were before.
FAILURES: list[Spoil] = [
    service("ingest"),
    unresolved("processor"),
    service("processor"),
    database_down,
    stream_down,
    no_targets,
    schema("secret_readable"),
    lambda snapshot: replace(snapshot, webhooks=_worse(snapshot, dead=1)),
    lambda snapshot: replace(snapshot, webhooks=_worse(snapshot, oldest_unprocessed_age_seconds=1000.0)),
    lambda snapshot: _spoil_first(snapshot, "ingest", webhook_secret=Configured.MISSING),
    lambda snapshot: _spoil_first(snapshot, "processor", secret_key=Configured.MISSING),
    lambda snapshot: _spoil_first(snapshot, "ingest", pool=FULL.pool),
]


def _worse(snapshot: Snapshot, **figures: float) -> Observation[WebhooksSeen]:
    was = snapshot.webhooks.seen or WebhooksSeen()
    return replace(snapshot.webhooks, seen=replace(was, **figures))  # type: ignore[arg-type]


def _spoil_first(snapshot: Snapshot, name: str, **fields: object) -> Snapshot:
    observation = snapshot.services.get(name)
    if observation is None or observation.seen is None or not observation.seen.replicas:
        return snapshot
    first, *rest = observation.seen.replicas
    spoilt = ServiceSeen((replace(first, **fields), *rest))  # type: ignore[arg-type]
    return with_service(snapshot, name, replace(observation, seen=spoilt))


@given(st.lists(st.sampled_from(FAILURES), max_size=5), st.sampled_from(FAILURES), st.floats(0, 100))
def test_one_more_failure_never_improves_the_verdict(before: list[Spoil], failure: Spoil, later: float) -> None:
    """Whatever is broken already, breaking something more makes it as bad or worse."""
    snapshot = healthy()
    for spoil in before:
        snapshot = _try(spoil, snapshot)
    worse = _try(failure, snapshot)
    assert verdict_of(worse, now=NOW + later).status.weight >= verdict_of(snapshot, now=NOW + later).status.weight


def _try(spoil: Spoil, snapshot: Snapshot) -> Snapshot:
    return spoil(snapshot) if snapshot.services else snapshot


@given(st.sets(st.sampled_from(list(Reason))), st.sampled_from(list(Reason)), st.sampled_from(["", "ingest", "other"]))
def test_one_more_finding_never_improves_the_verdict(found: set[Reason], more: Reason, subject: str) -> None:
    """The worst finding decides, of the whole and of each part."""
    before = frozenset(Finding(reason) for reason in found)
    after = judge(before | {Finding(more, subject)})
    assert after.status.weight >= judge(before).status.weight
    for part in Part:
        assert after.of(part, subject).weight >= judge(before).of(part, subject).weight
