"""Settings of the stream; the same for every service that makes sure of it."""

from collections.abc import Sequence

from pydantic import Field

from sluice.nats.types import HOUR, StreamSpec
from sluice.runtime.settings import ServiceSettings

_GIBIBYTE = 1024**3
_DUPLICATE_WINDOW_SECONDS = 120


class StreamSettings(ServiceSettings):
    """Settings of a service that makes the stream, and changes one that is there."""

    stream_replicas: int | None = Field(
        None, ge=1, le=5, description="servers of the NATS cluster that hold the stream; none: one, or as it is"
    )
    stream_max_bytes: int = Field(
        _GIBIBYTE, ge=1024**2, description="bytes of the stream at most; older messages go first"
    )
    stream_max_age: float = Field(
        72 * HOUR, ge=60, le=8760 * HOUR, description="seconds that a message stays in the stream at most"
    )

    def stream(self, name: str, subjects: Sequence[str]) -> StreamSpec:
        """The stream as it is wanted."""
        return StreamSpec(
            name=name,
            subjects=subjects,
            max_age_seconds=self.stream_max_age,
            max_bytes=self.stream_max_bytes,
            duplicate_window_seconds=min(_DUPLICATE_WINDOW_SECONDS, self.stream_max_age),
            replicas=self.stream_replicas,
        )
