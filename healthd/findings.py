"""
Findings of one look at one source. Pure: no clock, no I/O.

Only the newest look counts; else two healthd of different age would disagree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from healthd.observations import (
    Configured,
    DatabaseSeen,
    Observation,
    PausesSeen,
    Problem,
    SchemaSeen,
    ServiceSeen,
    StreamSeen,
    StripeSeen,
    WebhooksSeen,
)
from healthd.rules import KEY_HOLDER, NOTHING, VITAL, Finding, Findings, Reason

SECRET_READABLE = "secret_readable"  # noqa: S105  a name in sluice_schema_findings(), no secret


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a figure becomes a finding."""

    stale_seconds: float = 15.0
    backlog_age_seconds: float = 300.0
    connections_share: float = 0.9
    behind_seconds: float = 300.0
    """How long ago an account may have been known to be complete."""
    forged_seconds: float = 3600.0
    """How long a forged message is told of."""
    replicas_at_least: Mapping[str, int] = field(default_factory=dict)
    """For each service that has a minimum, how many addresses its name must have."""


def service_findings(name: str, observation: Observation[ServiceSeen], limits: Limits | None = None) -> Findings:
    """Findings of the newest look at a service."""
    if observation.problem is not None or observation.seen is None:
        return frozenset({Finding(Reason.SERVICE_UNKNOWN, name)})
    service, limits = observation.seen, limits or Limits()
    found = {Finding(reason, name) for reason in _service_reasons(service, limits)}
    if len(service.replicas) < limits.replicas_at_least.get(name, 0):
        found.add(Finding(Reason.REPLICA_MISSING, name))
    told = _told_of_stream(service) | _told_of_endpoint(service, limits)
    return frozenset(found) | _configuration_findings(name, service) | told


def _told_of_stream(service: ServiceSeen) -> Findings:
    """Findings about the stream that only its publishers and consumers can make."""
    found: set[Reason] = set()
    if any(replica.stream_connected is False for replica in service.live):
        found.add(Reason.STREAM_DOWN)
    if any(replica.stream_frozen for replica in service.live):
        found.add(Reason.STREAM_FROZEN)
    if any(replica.stream_settings_refused for replica in service.live):
        found.add(Reason.STREAM_SETTING_REFUSED)
    return without_subject(found)


def _told_of_endpoint(service: ServiceSeen, limits: Limits) -> Findings:
    """Findings about our endpoint at Stripe, which only the service with Stripe's key can make."""
    found: set[Reason] = set()
    if any(one.endpoint_faults for one in service.live):
        found.add(Reason.ENDPOINT_FAULT)
    if any(one.ping_waits_seconds > limits.backlog_age_seconds for one in service.live):
        found.add(Reason.CANARY_SILENT)
    return without_subject(found)


def _service_reasons(service: ServiceSeen, limits: Limits) -> Iterable[Reason]:
    if not service.ready and not service.is_being_replaced:
        yield Reason.SERVICE_NOT_READY if service.live else Reason.SERVICE_DOWN
    if service.down:
        yield Reason.REPLICA_DOWN
    if service.without_database:
        is_everybody = len(service.without_database) == len(service.live)
        yield Reason.SERVICE_WITHOUT_DATABASE if is_everybody else Reason.REPLICA_WITHOUT_DATABASE
    if any(replica.pool is not None and replica.pool.is_exhausted for replica in service.live):
        yield Reason.POOL_EXHAUSTED
    if any(replica.loses_logs for replica in service.live):
        yield Reason.LOGS_DROPPED
    forged_ages = [replica.forged_age_seconds for replica in service.live if replica.forged_age_seconds is not None]
    if min(forged_ages, default=limits.forged_seconds) < limits.forged_seconds:
        yield Reason.MESSAGES_FORGED
    if any(replica.standing_still for replica in service.live):
        yield Reason.TASK_STUCK


def _configuration_findings(name: str, service: ServiceSeen) -> Findings:
    if name == VITAL:
        said = webhook_secret_of(service)
        missing, unknown = Reason.WEBHOOK_SECRET_MISSING, Reason.WEBHOOK_SECRET_UNKNOWN
    elif name == KEY_HOLDER:
        said = secret_key_of(service)
        missing, unknown = Reason.SECRET_KEY_MISSING, Reason.SECRET_KEY_UNKNOWN
    elif any(replica.api_key is Configured.MISSING for replica in service.telling):
        return frozenset({Finding(Reason.STRIPE_API_REFUSED)})
    else:
        return NOTHING
    match said:
        case Configured.OK | Configured.NOT_NEEDED:
            return NOTHING
        case Configured.MISSING:
            return frozenset({Finding(missing)})
        case Configured.UNKNOWN:
            return frozenset({Finding(unknown)})


def webhook_secret_of(service: ServiceSeen) -> Configured:
    """Tell whether every replica that answers holds the webhook signing secret."""
    return _weakest(replica.webhook_secret for replica in service.telling)


def secret_key_of(service: ServiceSeen) -> Configured:
    """Tell whether every replica that answers holds Stripe's API key, or needs none."""
    return _weakest(replica.secret_key for replica in service.telling)


def _weakest(said: Iterable[Configured]) -> Configured:
    everything = set(said)
    for weaker in (Configured.MISSING, Configured.UNKNOWN, Configured.NOT_NEEDED):
        if weaker in everything:
            return weaker
    return Configured.OK if everything else Configured.UNKNOWN


def database_findings(observation: Observation[DatabaseSeen], limits: Limits) -> Findings:
    """Findings of the newest look at PostgreSQL."""
    if observation.problem is not None:
        return without_subject({Reason.DATABASE_DOWN})
    return without_subject(_database_reasons(observation.seen, limits) if observation.seen else ())


def _database_reasons(database: DatabaseSeen, limits: Limits) -> Iterable[Reason]:
    if database.connections >= database.connections_limit * limits.connections_share:
        yield Reason.CONNECTIONS_SCARCE


def webhooks_findings(observation: Observation[WebhooksSeen], limits: Limits) -> Findings:
    """Findings of the newest count of the journal."""
    if observation.problem is Problem.NO_SCHEMA:
        return without_subject({Reason.SCHEMA_MISSING, Reason.WEBHOOKS_UNKNOWN})
    if observation.problem is not None:
        return without_subject({Reason.WEBHOOKS_UNKNOWN})
    return without_subject(_webhooks_reasons(observation.seen, limits) if observation.seen else ())


def _webhooks_reasons(webhooks: WebhooksSeen, limits: Limits) -> Iterable[Reason]:
    if webhooks.oldest_unprocessed_age_seconds > limits.backlog_age_seconds:
        yield Reason.BACKLOG_OLD
    if webhooks.dead > 0:
        yield Reason.DEAD_WEBHOOKS


def schema_findings(observation: Observation[SchemaSeen]) -> Findings:
    """Findings of the newest look at the schema; ``sluice_schema_findings()`` has the cure of each."""
    if observation.problem is not None:
        return without_subject({Reason.SCHEMA_UNKNOWN})
    names = observation.seen.findings if observation.seen else ()
    return without_subject(
        {Reason.SECRET_EXPOSED if name == SECRET_READABLE else Reason.SCHEMA_FAULT for name in names}
    )


def stripe_findings(observation: Observation[StripeSeen], limits: Limits) -> Findings:
    """Findings of the newest look at what the reconciler knows; Stripe's own trouble degrades and no more."""
    if observation.seen is None or observation.problem is not None:
        return without_subject(())
    return without_subject(_stripe_reasons(observation.seen, limits))


def _stripe_reasons(stripe: StripeSeen, limits: Limits) -> Iterable[Reason]:
    if stripe.behind_seconds > limits.behind_seconds:
        yield Reason.RECONCILE_BEHIND
    if stripe.missing:
        yield Reason.RECONCILE_GAP
    if stripe.refused:
        yield Reason.STRIPE_API_REFUSED
    if stripe.thin_oldest_age_seconds > limits.backlog_age_seconds:
        yield Reason.THIN_EVENTS_OLD


def pauses_findings(observation: Observation[PausesSeen]) -> Findings:
    """Findings of the newest look at what is paused; an operator decided on it, so it degrades and no more."""
    if observation.seen is None or observation.problem is not None:
        return without_subject(())
    return without_subject({Reason.PAUSED} if observation.seen.in_force else ())


def stream_findings(observation: Observation[StreamSeen]) -> Findings:
    """Findings of the newest look at JetStream."""
    return without_subject({Reason.STREAM_DOWN} if observation.problem is not None else set())


def without_subject(reasons: Iterable[Reason]) -> Findings:
    """Findings that name no service."""
    return frozenset(Finding(reason) for reason in reasons)
