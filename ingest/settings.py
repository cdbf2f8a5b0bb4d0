"""Settings of ingest, all of them from the environment."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from ingest.auth.tenant_secrets import TenantLimits
from ingest.http.body import BodyLimits
from ingest.http.connection import ConnectionLimits
from ingest.journal.journal import JournalLimits
from ingest.relay.sweeper import RelayLimits
from sluice.nats.stream_settings import StreamSettings
from sluice.runtime.listening import EVERY_ADDRESS
from sluice.runtime.settings import BeyondRollouts, Seconds
from sluice.webhook_secret import configured_faults

SECRET_NAME = "STRIPE_WEBHOOK_SECRET"  # noqa: S105  the name of a setting
KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


class IngestSettings(StreamSettings):
    """
    Settings of ingest beside those of every service.

    ``STRIPE_WEBHOOK_SECRET`` (or ``STRIPE_WEBHOOK_SECRET_FILE``) is no field: it may change while we run. But what can
    be no secret is refused as we start.
    """

    listen_host: str = Field(EVERY_ADDRESS, description="address of the public port; `::` is every one, IPv4 and IPv6")
    listen_port: int = Field(8080, ge=0, le=65_535, description="public port")
    listen_reuse_port: bool = Field(False, description="true lets several processes share the port (SO_REUSEPORT)")
    ready_without_database_seconds: BeyondRollouts = Field(
        900, description="seconds from the start until ready although PostgreSQL was never reached"
    )
    linger_seconds: float = Field(
        1, ge=0, le=60, description="seconds from SIGTERM during which new requests are taken"
    )

    connections_max: int = Field(2_000, ge=1, description="connections of clients at most")
    head_seconds: Seconds = Field(10, description="seconds from connecting to a first request")
    keepalive_seconds: Seconds = Field(75, description="seconds that an idle connection stays open")
    write_seconds: Seconds = Field(5, description="seconds that a client may leave its answers unread")
    http_fast_path: bool = Field(True, description="false leaves every request to aiohttp's own loop, which is slower")

    body_bytes_max: int = Field(2 * MEBIBYTE, ge=1024, description="largest body, in bytes")
    body_seconds: Seconds = Field(5, description="seconds to read a body in")
    answer_seconds: Seconds = Field(2.5, description="seconds from the whole body to any answer")
    organiser_body_bytes_max: int = Field(
        256 * KIBIBYTE, ge=1024, description="largest body at an organiser's URL, in bytes"
    )
    reading_bytes_max: int = Field(64 * MEBIBYTE, ge=1024, description="bytes of unfinished bodies at most")

    journal_queue_rows: int = Field(10_000, ge=1, description="webhooks that may wait to be written")
    journal_queue_bytes: int = Field(64 * MEBIBYTE, ge=1024, description="bytes of bodies that may wait to be written")
    journal_batch_rows: int = Field(500, ge=1, le=5_000, description="webhooks in one write at most")
    journal_batch_bytes: int = Field(
        4 * MEBIBYTE, ge=1024, description="bytes of bodies in one write, one body at least"
    )

    tenant_known_seconds: Seconds = Field(60, description="seconds that an organiser's secret is believed")
    tenant_unknown_seconds: Seconds = Field(10, description="seconds that an unknown organiser stays unknown")

    relay_every_seconds: Seconds = Field(1, description="seconds between two looks for rows that are due")
    relay_rows_per_second: int = Field(2_000, ge=1, description="rows that a sweep publishes in a second at most")
    relay_overdue_per_second: int = Field(100, ge=1, description="rows untried for five minutes published in a second")

    @property
    def connection_limits(self) -> ConnectionLimits:
        """Limits on one client."""
        return ConnectionLimits(
            connections=self.connections_max,
            head_seconds=self.head_seconds,
            keepalive_seconds=self.keepalive_seconds,
            write_seconds=self.write_seconds,
        )

    @property
    def body_limits(self) -> BodyLimits:
        """Limits on one body."""
        return BodyLimits(
            body_bytes=self.body_bytes_max,
            organiser_body_bytes=self.organiser_body_bytes_max,
            body_seconds=self.body_seconds,
            reading_bytes=self.reading_bytes_max,
        )

    @property
    def journal_limits(self) -> JournalLimits:
        """How much waits, and how much goes out at once."""
        return JournalLimits(
            queue_rows=self.journal_queue_rows,
            queue_bytes=self.journal_queue_bytes,
            batch_rows=self.journal_batch_rows,
            batch_bytes=self.journal_batch_bytes,
            receipt_seconds=self.answer_seconds,
        )

    @property
    def tenant_limits(self) -> TenantLimits:
        """How long organisers' secrets are believed."""
        return TenantLimits(known_seconds=self.tenant_known_seconds, unknown_seconds=self.tenant_unknown_seconds)

    @property
    def relay_limits(self) -> RelayLimits:
        """How often and how fast rows are published again."""
        return RelayLimits(
            every_seconds=self.relay_every_seconds,
            rows_per_second=self.relay_rows_per_second,
            overdue_per_second=self.relay_overdue_per_second,
        )


def secret_faults(environment: Mapping[str, str]) -> Sequence[str]:
    """Why the platform's webhook secret, as it is configured now, can be none; a sentence for each fault."""
    return [
        f"{SECRET_NAME}: {fault}. Set it, or {SECRET_NAME}_FILE, to what Stripe shows as the signing secret of your "
        "endpoint, whsec_ and all."
        for fault in configured_faults(SECRET_NAME, environment)
    ]
