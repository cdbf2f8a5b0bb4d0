"""One row of ``error_logs``, with everything taken out that must not be in it."""

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, TypedDict, Unpack, get_args

import orjson

from sluice.runtime.redact import redact

Severity: TypeAlias = Literal["error", "warning", "critical", "high", "info"]
Kind: TypeAlias = Literal["general", "database", "webhook", "api"]

SEVERITIES: Final = get_args(Severity)
KINDS: Final = get_args(Kind)
_MESSAGE_CHARACTERS = 2_000
_TRACE_CHARACTERS = 16_000
_VALUE_CHARACTERS = 200
_ID_CHARACTERS = 64  # an earlier application's columns may be no longer
_STRIPE_ID_CHARACTERS = 255

ALLOWED_REQUEST_KEYS: Final = frozenset(
    {
        "account", "api_version", "attempt", "attempts", "batch_size", "body_bytes", "code", "content_encoding",
        "content_length", "content_type", "deliveries", "duration_seconds", "event_id", "event_type", "handler",
        "livemode", "method", "object_id", "outcome", "path", "publication", "reason", "request_id", "route",
        "sequence", "sqlstate", "status", "stripe_account_id", "stripe_event_id", "subject", "tenant", "traceparent",
        "user_agent", "webhook_type",
    }
)  # fmt: skip


class Circumstances(TypedDict, total=False):
    """Optional fields of a report, beside its message."""

    severity: Severity
    """By default ``error``."""
    error: BaseException | None
    user_id: object
    event_id: object
    """``events.id``."""
    stripe_event_id: object
    """Key in ``webhook_logs``."""
    request_data: Mapping[str, object] | None
    """Only known keys are kept, without their secrets."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A failure, ready to be stored."""

    severity: str
    kind: str
    message: str
    stack_trace: str | None
    user_id: str | None
    event_id: str | None
    """``events.id``."""
    request_data: str | None
    stripe_event_id: str | None = None
    """Key in ``webhook_logs``."""
    happened_at: float = field(default_factory=time.monotonic)


def make_entry(kind: Kind, message: str, **about: Unpack[Circumstances]) -> Entry:
    """An entry without secrets; an unknown severity becomes ``error``."""
    severity, error, request_data = about.get("severity", "error"), about.get("error"), about.get("request_data")
    return Entry(
        severity=severity if severity in SEVERITIES else "error",
        kind=kind,
        message=redact(str(message), limit=_MESSAGE_CHARACTERS),
        stack_trace=None if error is None else _trace(error),
        user_id=_short(about.get("user_id"), _ID_CHARACTERS),
        event_id=_short(about.get("event_id"), _ID_CHARACTERS),
        request_data=None if request_data is None else _allowed(request_data),
        stripe_event_id=_short(about.get("stripe_event_id"), _STRIPE_ID_CHARACTERS),
    )


def _trace(error: BaseException) -> str:
    """The end of the trace, where the cause is; no local variables."""
    text = "".join(traceback.format_exception(error, limit=-30))
    return redact(text[-2 * _TRACE_CHARACTERS :], limit=_TRACE_CHARACTERS)


def _short(name: object, limit: int) -> str | None:
    return None if name is None else redact(str(name), limit=limit)


def _allowed(request_data: Mapping[str, object]) -> str:
    kept = {key: _scalar(value) for key, value in request_data.items() if key in ALLOWED_REQUEST_KEYS}
    omitted = len(request_data) - len(kept)
    return orjson.dumps(kept | ({"omitted_keys": omitted} if omitted else {})).decode()


def _scalar(value: object) -> str | int | float | bool | None:
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if abs(value) < 2**53 else str(value)
        case _:
            return redact(str(value), limit=_VALUE_CHARACTERS)
