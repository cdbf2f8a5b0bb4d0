"""Observations: the last values that healthd saw, frozen, each with its age."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

Seen = TypeVar("Seen")


class Problem(StrEnum):
    """Why a look saw nothing: a short list, because the text of an error may hold an address or a secret."""

    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    BAD_ANSWER = "bad_answer"
    NO_SCHEMA = "no_schema"
    FORBIDDEN = "forbidden"
    NO_DATABASE = "no_database"


class Configured(StrEnum):
    """A replica's report on one of its secrets; never the secret."""

    OK = "ok"
    MISSING = "missing"
    UNKNOWN = "unknown"
    NOT_NEEDED = "not_needed"
    """Nothing that is switched on uses it."""


@dataclass(frozen=True, slots=True)
class PoolSeen:
    """One replica's connection pool."""

    size: int
    idle: int
    busy: int
    limit: int
    waiters: int = 0

    @property
    def utilisation(self) -> float:
        """Busy connections as a share of the most there may be, 0 to 1."""
        return self.busy / self.limit if self.limit > 0 else 0.0

    @property
    def is_exhausted(self) -> bool:
        """Whether work waits for a connection although none can be added."""
        return self.waiters > 0 and self.busy >= self.limit


@dataclass(frozen=True, slots=True)
class ReplicaSeen:
    """One address of a service; ``problem`` says why it is not live."""

    address: str
    problem: Problem | None = None
    is_ready: bool = False
    is_draining: bool = False
    version: str | None = None
    uptime_seconds: float | None = None
    pool: PoolSeen | None = None
    standing_still: tuple[str, ...] = ()
    """Its endless tasks that have not turned for long."""
    stream_connected: bool | None = None
    is_without_database: bool = False
    """Whether it could not get a connection to PostgreSQL when it tried last, or never could."""
    pool_timeouts: int = 0
    """Since its start, waits for a connection that timed out."""
    errors_lost: int = 0
    """Since its start, reports that did not become rows of ``error_logs``."""
    is_leaving: bool = False
    """Whether it answered a moment ago, and DNS may still name it although it has left."""
    loses_logs: bool = False
    stream_frozen: bool = False
    """Whether it is connected, and JetStream takes or brings no messages."""
    stream_settings_refused: tuple[str, ...] = ()
    webhook_secret: Configured = Configured.UNKNOWN
    secret_key: Configured = Configured.UNKNOWN
    endpoint_faults: tuple[str, ...] = ()
    """Faults of our endpoint at Stripe, by the names that ``sluice doctor`` has for them."""
    ping_waits_seconds: float = 0.0
    """How long a ping of our destination at Stripe has waited for an echo; 0: none waits."""
    api_key: Configured = Configured.UNKNOWN
    """Of the reconciler: the key that it asks Stripe with."""
    forged_age_seconds: float | None = None
    """How long ago it was sent a message that did not hold what its row holds."""

    @property
    def is_live(self) -> bool:
        """Whether its event loop answered."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """Every address that a service's name stood for at the last look."""

    replicas: tuple[ReplicaSeen, ...] = ()

    @property
    def live(self) -> tuple[ReplicaSeen, ...]:
        """The replicas that answered."""
        return tuple(replica for replica in self.replicas if replica.is_live)

    @property
    def down(self) -> tuple[ReplicaSeen, ...]:
        """The replicas that should answer and do not."""
        return tuple(replica for replica in self.replicas if not replica.is_live and not replica.is_leaving)

    @property
    def is_being_replaced(self) -> bool:
        """Whether some are leaving, so that DNS may not name yet who came for them."""
        return any(replica.is_leaving for replica in self.replicas)

    @property
    def telling(self) -> tuple[ReplicaSeen, ...]:
        """The replicas whose configuration speaks for the service: those that answer, else those that left just now."""
        return self.live or tuple(replica for replica in self.replicas if replica.is_leaving)

    @property
    def ready(self) -> tuple[ReplicaSeen, ...]:
        """The replicas that take work."""
        return tuple(replica for replica in self.live if replica.is_ready)

    @property
    def without_database(self) -> tuple[ReplicaSeen, ...]:
        """The replicas that answer and cannot reach PostgreSQL."""
        return tuple(replica for replica in self.live if replica.is_without_database)


@dataclass(frozen=True, slots=True)
class DatabaseSeen:
    """PostgreSQL answered."""

    latency_seconds: float
    connections: int
    connections_limit: int
    oldest_transaction_seconds: float = 0
    """Age of the oldest transaction whose snapshot keeps dead rows from being removed; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class SchemaSeen:
    """Faults of the schema, by the short names of ``sluice_schema_findings()``."""

    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhooksSeen:
    """The journal's counts. All but ``dead`` and ``parked`` leave parked rows out of ages, as those wait on purpose."""

    backlog: int = 0
    failing: int = 0
    parked: int = 0
    dead: int = 0
    oldest_unprocessed_age_seconds: float = 0.0
    oldest_untried_age_seconds: float = 0.0
    """Of those among them that no handler was tried on yet: what fails is late for a reason of its own."""
    is_lower_bound: bool = False
    """Whether counting stopped at the limit: the true figures may be higher."""


@dataclass(frozen=True, slots=True)
class PausesSeen:
    """Pauses in force, and the webhooks that wait for one."""

    in_force: int = 0
    since: datetime | None = None
    """When the oldest of them began; None: nothing is paused."""
    oldest_age_seconds: float = 0.0
    waiting: int = 0
    """Webhooks that wait for the end of a pause, counted to a limit."""


@dataclass(frozen=True, slots=True)
class StripeSeen:
    """How far the log is known to hold all that Stripe has; nothing where no account is listed."""

    accounts: int = 0
    """Accounts that are listed and open to the key."""
    behind_seconds: float = 0.0
    """Of the account furthest behind: how long ago it was known to be complete."""
    missing: int = 0
    """Events that a pass under way found missing, or that could not be recorded."""
    refused: int = 0
    """Accounts whose list the key does not open: it is missing, wrong, or lacks a right."""
    thin_waiting: int = 0
    thin_oldest_age_seconds: float = 0.0
    """Age of the oldest thin event that waits for its full event."""


@dataclass(frozen=True, slots=True)
class TableSeen:
    """How big a table is, or the bodies of one day."""

    name: str
    age_days: int | None
    """Of a day's bodies; None of a table."""
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class GrowthSeen:
    """The tables that grow with the webhooks."""

    tables: tuple[TableSeen, ...] = ()
    partition_days: int | None = None
    """For how many days after today there is a partition for bodies; None: none was made yet."""


@dataclass(frozen=True, slots=True)
class StreamSeen:
    """JetStream answered."""

    pending: int = 0
    ack_pending: int = 0


@dataclass(frozen=True, slots=True)
class Observation(Generic[Seen]):
    """The last good look at something, and what became of the newest look. Times are monotonic seconds."""

    seen: Seen | None = None
    seen_at: float | None = None
    looked_at: float | None = None
    problem: Problem | None = None

    def saw(self, seen: Seen, *, at: float) -> "Observation[Seen]":
        """After a look that saw something."""
        return Observation(seen=seen, seen_at=at, looked_at=at)

    def missed(self, problem: Problem, *, at: float) -> "Observation[Seen]":
        """After a look that saw nothing: the last value stays, and grows old."""
        return replace(self, looked_at=at, problem=problem)

    def age_seconds(self, now: float) -> float | None:
        """How old the value is; None when there has never been one."""
        return None if self.seen_at is None else max(0.0, now - self.seen_at)

    def is_stale(self, now: float, *, after_seconds: float) -> bool:
        """Whether the last look is so old that nothing is known any more."""
        return self.looked_at is None or now - self.looked_at > after_seconds


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that healthd watches, at one moment."""

    services: Mapping[str, Observation[ServiceSeen]] = field(default_factory=dict)
    database: Observation[DatabaseSeen] = field(default_factory=Observation)
    webhooks: Observation[WebhooksSeen] = field(default_factory=Observation)
    schema: Observation[SchemaSeen] = field(default_factory=Observation)
    stripe: Observation[StripeSeen] = field(default_factory=Observation)
    pauses: Observation[PausesSeen] = field(default_factory=Observation)
    stream: Observation[StreamSeen] = field(default_factory=Observation)
    growth: GrowthSeen | None = None
    """As it was last seen; it changes slowly, and nothing is decided by it."""
    has_stream: bool = True
    """Whether Sluice works with NATS at all."""

    def ages(self, now: float) -> Mapping[str, float | None]:
        """For each source, how many seconds old its value is; None where there is none."""
        return {
            **{name: service.age_seconds(now) for name, service in self.services.items()},
            "database": self.database.age_seconds(now),
            "webhooks": self.webhooks.age_seconds(now),
            "schema": self.schema.age_seconds(now),
            **({"stream": self.stream.age_seconds(now)} if self.has_stream else {}),
        }
