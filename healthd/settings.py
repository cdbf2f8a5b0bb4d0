"""Settings of healthd; none of them is a secret of Stripe's."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from healthd.findings import Limits
from healthd.rules import KEY_HOLDER, VITAL
from sluice.runtime.health_targets import Target, parse_targets
from sluice.runtime.listening import EVERY_ADDRESS
from sluice.runtime.settings import ServiceSettings

_SECONDS = Annotated[float, Field(gt=0, le=3600)]
_LOOK_SECONDS_AT_MOST = 2.0
_PERIODS_UNTIL_STALE = 3
_STEP_SHARE = 0.8  # three slow steps, all that a look has, still fit in three periods


class Settings(ServiceSettings):
    """healthd's own settings."""

    listen_host: str = Field(
        EVERY_ADDRESS, description="address of the public GET /api/health; `::` is every one, IPv4 and IPv6"
    )
    listen_port: int = Field(8080, ge=0, le=65_535, description="port of the public GET /api/health")
    linger_seconds: float = Field(
        1, ge=0, le=60, description="seconds from SIGTERM during which health is still answered"
    )
    health_targets: str = Field(
        description="every service and its admin address: ingest=http://host:9090,processor=http://host:9090"
    )
    health_replicas: str = Field("", description="replicas that each must have at least: ingest=2,processor=2")
    health_dns_seconds: float = Field(
        40, ge=0, le=3600, description="seconds for which DNS may still name a replica that has left"
    )
    health_record_seconds: _SECONDS = Field(60.0, description="seconds between two rows of health_verdict, at most")
    health_retain_days: int = Field(35, ge=3, le=3650, description="days for which health_verdict is kept")
    health_details: bool = Field(False, description="tell services, backlog and reasons on the public port too")
    health_period_seconds: _SECONDS = Field(5.0, description="seconds between two looks at the same thing")
    health_backlog_age_seconds: _SECONDS = Field(300.0, description="age of unprocessed work that is degraded")
    health_count_limit: int = Field(10_000, ge=1, le=1_000_000, description="rows counted at most, per kind")

    @property
    def targets(self) -> Sequence[Target]:
        """The services to watch, in the order given."""
        return parse_targets(self.health_targets)

    @property
    def look_seconds(self) -> float:
        """Deadline of one step of a look: resolving, asking one replica, one group of statements."""
        return min(_LOOK_SECONDS_AT_MOST, self.health_period_seconds * _STEP_SHARE)

    @property
    def limits(self) -> Limits:
        """Where a figure becomes a finding."""
        return Limits(
            stale_seconds=_PERIODS_UNTIL_STALE * self.health_period_seconds,
            backlog_age_seconds=self.health_backlog_age_seconds,
            replicas_at_least=parse_replicas(self.health_replicas),
        )

    @model_validator(mode="after")
    def _names_what_must_run(self) -> Self:
        missing = {VITAL, KEY_HOLDER} - {target.name for target in self.targets}
        if missing:
            raise ValueError(f"HEALTH_TARGETS does not name {' and '.join(sorted(missing))}; add its admin address")
        if unknown := parse_replicas(self.health_replicas).keys() - {target.name for target in self.targets}:
            raise ValueError(f"HEALTH_REPLICAS names {' and '.join(sorted(unknown))}, which HEALTH_TARGETS does not")
        return self


def parse_replicas(text: str) -> Mapping[str, int]:
    """``name=number`` items, separated by commas. Raises ValueError."""
    pairs = [item.partition("=") for item in text.replace(" ", "").split(",") if item]
    if not all(number.isascii() and number.isdigit() for _, _, number in pairs):
        raise ValueError("HEALTH_REPLICAS wants items like ingest=2, a number of replicas behind each name")
    return {name: int(number) for name, _, number in pairs}
