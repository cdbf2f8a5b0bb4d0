"""Every reason for a finding, with its weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

VITAL = "ingest"
"""The service without which no webhook is taken in."""
KEY_HOLDER = "processor"
"""The service that holds Stripe's API key."""


class Status(StrEnum):
    """From good to bad; what is not known is not healthy."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    UNHEALTHY = "unhealthy"

    @property
    def weight(self) -> int:
        """Place in the order above, 0 is best."""
        return list(Status).index(self)


class Part(StrEnum):
    """The part of Sluice that a finding is about."""

    SERVICES = "services"
    DATABASE = "database"
    WEBHOOKS = "webhooks"
    SCHEMA = "schema"
    STREAM = "stream"
    STRIPE = "stripe"


class Reason(StrEnum):
    """Why the verdict is what it is; bounded, and safe to show."""

    NO_TARGETS = "no_targets"
    SERVICE_UNKNOWN = "service_unknown"
    SERVICE_DOWN = "service_down"
    SERVICE_NOT_READY = "service_not_ready"
    REPLICA_DOWN = "replica_down"
    REPLICA_MISSING = "replica_missing"
    POOL_EXHAUSTED = "pool_exhausted"
    SERVICE_WITHOUT_DATABASE = "service_without_database"
    REPLICA_WITHOUT_DATABASE = "replica_without_database"
    LOGS_DROPPED = "logs_dropped"
    MESSAGES_FORGED = "messages_forged"
    TASK_STUCK = "task_stuck"
    DATABASE_UNKNOWN = "database_unknown"
    DATABASE_DOWN = "database_down"
    CONNECTIONS_SCARCE = "connections_scarce"
    SCHEMA_UNKNOWN = "schema_unknown"
    SCHEMA_MISSING = "schema_missing"
    SCHEMA_FAULT = "schema_fault"
    SECRET_EXPOSED = "secret_exposed"  # noqa: S105  a reason, no secret
    WEBHOOKS_UNKNOWN = "webhooks_unknown"
    BACKLOG_OLD = "backlog_old"
    DEAD_WEBHOOKS = "dead_webhooks"
    PAUSED = "paused"
    ENDPOINT_FAULT = "endpoint_fault"
    CANARY_SILENT = "canary_silent"
    RECONCILE_BEHIND = "reconcile_behind"
    RECONCILE_GAP = "reconcile_gap"
    STRIPE_API_REFUSED = "stripe_api_refused"
    THIN_EVENTS_OLD = "thin_events_old"
    STREAM_UNKNOWN = "stream_unknown"
    STREAM_DOWN = "stream_down"
    STREAM_FROZEN = "stream_frozen"
    STREAM_SETTING_REFUSED = "stream_setting_refused"
    WEBHOOK_SECRET_MISSING = "webhook_secret_missing"  # noqa: S105
    WEBHOOK_SECRET_UNKNOWN = "webhook_secret_unknown"  # noqa: S105
    SECRET_KEY_MISSING = "secret_key_missing"  # noqa: S105
    SECRET_KEY_UNKNOWN = "secret_key_unknown"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason's status for its own part, and for the whole; ``vital`` where the vital service is concerned."""

    part: Part
    shown: Status
    overall: Status
    vital: Status | None = None


_D, _U, _X = Status.DEGRADED, Status.UNKNOWN, Status.UNHEALTHY
# Not knowing weighs a little less than the failure that it may hide, never more.
RULES: Mapping[Reason, Rule] = {
    Reason.NO_TARGETS: Rule(Part.SERVICES, _X, _X),
    Reason.SERVICE_UNKNOWN: Rule(Part.SERVICES, _U, _D, vital=_U),
    Reason.SERVICE_DOWN: Rule(Part.SERVICES, _X, _D, vital=_X),
    Reason.SERVICE_NOT_READY: Rule(Part.SERVICES, _X, _D, vital=_X),
    Reason.REPLICA_DOWN: Rule(Part.SERVICES, _D, _D),
    Reason.REPLICA_MISSING: Rule(Part.SERVICES, _D, _D),
    Reason.POOL_EXHAUSTED: Rule(Part.SERVICES, _D, _D),
    Reason.SERVICE_WITHOUT_DATABASE: Rule(Part.SERVICES, _X, _D, vital=_X),
    Reason.REPLICA_WITHOUT_DATABASE: Rule(Part.SERVICES, _D, _D),
    Reason.LOGS_DROPPED: Rule(Part.SERVICES, _D, _D),
    Reason.MESSAGES_FORGED: Rule(Part.STREAM, _D, _D),
    Reason.TASK_STUCK: Rule(Part.SERVICES, _D, _D),
    Reason.DATABASE_UNKNOWN: Rule(Part.DATABASE, _U, _U),
    Reason.DATABASE_DOWN: Rule(Part.DATABASE, _X, _X),
    Reason.CONNECTIONS_SCARCE: Rule(Part.DATABASE, _D, _D),
    Reason.SCHEMA_UNKNOWN: Rule(Part.SCHEMA, _U, _D),
    Reason.SCHEMA_MISSING: Rule(Part.SCHEMA, _X, _X),
    Reason.SCHEMA_FAULT: Rule(Part.SCHEMA, _D, _D),
    Reason.SECRET_EXPOSED: Rule(Part.SCHEMA, _D, _D),
    Reason.WEBHOOKS_UNKNOWN: Rule(Part.WEBHOOKS, _U, _D),
    Reason.BACKLOG_OLD: Rule(Part.WEBHOOKS, _D, _D),
    Reason.DEAD_WEBHOOKS: Rule(Part.WEBHOOKS, _D, _D),
    Reason.PAUSED: Rule(Part.WEBHOOKS, _D, _D),
    Reason.ENDPOINT_FAULT: Rule(Part.STRIPE, _D, _D),
    Reason.CANARY_SILENT: Rule(Part.STRIPE, _D, _D),
    Reason.RECONCILE_BEHIND: Rule(Part.STRIPE, _D, _D),
    Reason.RECONCILE_GAP: Rule(Part.STRIPE, _D, _D),
    Reason.STRIPE_API_REFUSED: Rule(Part.STRIPE, _D, _D),
    Reason.THIN_EVENTS_OLD: Rule(Part.STRIPE, _D, _D),
    Reason.STREAM_UNKNOWN: Rule(Part.STREAM, _U, _D),
    Reason.STREAM_DOWN: Rule(Part.STREAM, _X, _D),
    Reason.STREAM_FROZEN: Rule(Part.STREAM, _X, _D),
    Reason.STREAM_SETTING_REFUSED: Rule(Part.STREAM, _D, _D),
    Reason.WEBHOOK_SECRET_MISSING: Rule(Part.STRIPE, _X, _X),
    Reason.WEBHOOK_SECRET_UNKNOWN: Rule(Part.STRIPE, _U, _U),
    Reason.SECRET_KEY_MISSING: Rule(Part.STRIPE, _D, _D),
    Reason.SECRET_KEY_UNKNOWN: Rule(Part.STRIPE, _U, _D),
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong; ``subject`` names the service, where it is about one."""

    reason: Reason
    subject: str = ""

    @property
    def rule(self) -> Rule:
        """The rule of its reason."""
        return RULES[self.reason]

    @property
    def overall(self) -> Status:
        """The status it gives to the whole."""
        if self.subject == VITAL and self.rule.vital is not None:
            return self.rule.vital
        return self.rule.overall


Findings = frozenset[Finding]
NOTHING: Findings = frozenset()
