"""A replica's ``/status``, read with suspicion: whatever it sends, the result is bounded and typed."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from healthd.observations import Configured, PoolSeen, ReplicaSeen

_LATE_SHARE = 0.5
_Count = Annotated[int, Field(ge=0, le=1_000_000)]
_Total = Annotated[int, Field(ge=0)]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Pool(_Answer):
    size: _Count = 0
    idle: _Count = 0
    busy: _Count = 0
    max: _Count = 0
    waiters: _Count = 0


class _Task(_Answer):
    last_turn_age_seconds: Annotated[float, Field(ge=0)] = 0.0
    within_seconds: Annotated[float, Field(gt=0)] = 1.0


class _Stream(_Answer):
    connected: bool | None = None
    refuses: bool = False
    stalled: bool = False
    settings_refused: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=10)] = []


class _Contact(_Answer):
    """``first_contact`` of a service."""

    reached: bool = True


class _Reach(_Answer):
    """``database`` of a service."""

    problem: str | None = None
    timeouts: _Total = 0


class _Errors(_Answer):
    lost: _Total = 0


class _Logs(_Answer):
    losing: bool = False


class _Configuration(_Answer):
    stripe_webhook_secret: str = ""
    stripe_secret_key: str = ""
    stripe_api_key: str = ""


class _Work(_Answer):
    forged_message_age_seconds: Annotated[float, Field(ge=0)] | None = None


class _Endpoint(_Answer):
    """``endpoint`` of the reconciler."""

    faults: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=50)] = []


class _Canary(_Answer):
    """``canary`` of the reconciler."""

    waits_seconds: Annotated[float, Field(ge=0)] = 0.0


class _Status(_Answer):
    version: Annotated[str, Field(max_length=64)] | None = None
    uptime_seconds: Annotated[float, Field(ge=0)] | None = None
    ready: bool = False
    draining: bool = False
    pool: _Pool | None = None
    stream: _Stream | None = None
    first_contact: _Contact = _Contact()
    database: _Reach = _Reach()
    error_log: _Errors = _Errors()
    logs: _Logs = _Logs()
    work: _Work | None = None
    endpoint: _Endpoint = _Endpoint()
    canary: _Canary = _Canary()
    tasks: Annotated[dict[Annotated[str, Field(max_length=64)], _Task], Field(max_length=100)] = {}
    configuration: _Configuration = _Configuration()


def parse_answer(address: str, body: bytes) -> ReplicaSeen:
    """A live replica and what it says of itself; one that cannot be understood is live, not ready, and unknown."""
    try:
        status = _Status.model_validate_json(body)
    except ValidationError:
        return ReplicaSeen(address)
    return ReplicaSeen(
        address,
        is_ready=status.ready,
        is_draining=status.draining,
        version=status.version,
        uptime_seconds=status.uptime_seconds,
        pool=_pool(status.pool),
        standing_still=_standing_still(status.tasks),
        stream_connected=status.stream.connected if status.stream else None,
        is_without_database=not status.first_contact.reached or status.database.problem is not None,
        pool_timeouts=status.database.timeouts,
        errors_lost=status.error_log.lost,
        loses_logs=status.logs.losing,
        stream_frozen=status.stream is not None and (status.stream.refuses or status.stream.stalled),
        stream_settings_refused=tuple(status.stream.settings_refused) if status.stream else (),
        webhook_secret=_configured(status.configuration.stripe_webhook_secret),
        secret_key=_configured(status.configuration.stripe_secret_key),
        endpoint_faults=tuple(status.endpoint.faults),
        ping_waits_seconds=status.canary.waits_seconds,
        api_key=_configured(status.configuration.stripe_api_key),
        forged_age_seconds=status.work.forged_message_age_seconds if status.work else None,
    )


def _standing_still(tasks: Mapping[str, _Task]) -> tuple[str, ...]:
    """The endless tasks that have not turned for half of the time after which their service ends itself."""
    return tuple(
        sorted(name for name, task in tasks.items() if task.last_turn_age_seconds > task.within_seconds * _LATE_SHARE)
    )


def _pool(pool: _Pool | None) -> PoolSeen | None:
    if pool is None:
        return None
    return PoolSeen(size=pool.size, idle=pool.idle, busy=pool.busy, limit=pool.max, waiters=pool.waiters)


def _configured(said: str) -> Configured:
    return Configured(said) if said in list(Configured) else Configured.UNKNOWN
