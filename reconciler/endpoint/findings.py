"""Findings about the endpoint: their names, which a metric has too, and how much each weighs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


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


_F, _W, _N = Weight.FAULT, Weight.WARNING, Weight.NOTE
WEIGHTS: Mapping[Name, Weight] = MappingProxyType(
    {
        Name.MISSING: _F,
        Name.TWICE: _W,
        Name.DISABLED: _F,
        Name.WRONG_MODE: _F,
        Name.TYPES_MISSING: _F,
        Name.TYPES_SUPERFLUOUS: _N,
        Name.TYPES_ALL: _N,
        Name.VERSION_UNKNOWN: _W,
        Name.VERSION_FLOATS: _W,
        Name.SECRET_MISSING: _F,
        Name.SECRET_UNPROVEN: _W,
        Name.SECRET_IDLE: _N,
        Name.SECRETS_UNKNOWN: _N,
        Name.CLOCK_SKEW: _W,
        Name.NOT_HTTPS: _F,
        Name.NOT_RESOLVED: _W,
        Name.NOT_REACHED: _W,
        Name.TLS_REFUSED: _F,
        Name.TLS_ENDS_SOON: _W,
        Name.REDIRECTED: _F,
        Name.NOT_SLUICE: _F,
        Name.DESTINATIONS_UNSEEN: _N,
        Name.UNSEEN: _F,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, and what to do."""

    name: Name
    text: str
    cure: str
    items: tuple[str, ...] = ()
    """Types by name."""
    is_note: bool = False
    """Whether it does no harm here, whatever its name weighs elsewhere."""

    @property
    def weight(self) -> Weight:
        """How much it weighs."""
        return Weight.NOTE if self.is_note else WEIGHTS[self.name]


def by_weight(finding: Finding) -> int:
    """Sort what loses webhooks first."""
    return list(Weight).index(finding.weight)
