"""Findings about the endpoint: their names, which a metric has too, and how much each weighs."""

from dataclasses import dataclass
from enum import StrEnum


class Name(StrEnum):
    """One kind of finding; bounded, and safe to show."""

    MISSING = "not_registered"
    TWICE = "registered_twice"
    DISABLED = "disabled"
    WRONG_MODE = "wrong_mode"
    TYPES_MISSING = "types_missing"
    TYPES_SUPERFLUOUS = "types_superfluous"
    TYPES_ALL = "types_all"
    VERSION_UNKNOWN = "api_version_unknown"
    VERSION_FLOATS = "api_version_floats"
    SECRET_MISSING = "secret_missing"  # noqa: S105  a name, no secret
    SECRET_UNPROVEN = "secret_unproven"  # noqa: S105
    SECRET_IDLE = "secret_idle"  # noqa: S105
    SECRETS_UNKNOWN = "secrets_unknown"
    CLOCK_SKEW = "clock_skew"
    NOT_HTTPS = "not_https"
    NOT_RESOLVED = "not_resolved"
    NOT_REACHED = "not_reached"
    TLS_REFUSED = "tls_refused"
    TLS_ENDS_SOON = "tls_ends_soon"
    REDIRECTED = "redirected"
    NOT_SLUICE = "not_sluice"
    DESTINATIONS_UNSEEN = "destinations_unseen"
    UNSEEN = "unseen"


class Weight(StrEnum):
    """From what loses webhooks to what is good to know."""

    FAULT = "fault"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, and what to do."""

    name: Name
    weight: Weight
    text: str
    cure: str
    items: tuple[str, ...] = ()
    """Types by name."""
