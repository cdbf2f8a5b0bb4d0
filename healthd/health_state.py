"""What was seen last, kept for whoever asks: the one thing in healthd that changes."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from healthd.findings import (
    Limits,
    database_findings,
    schema_findings,
    service_findings,
    stream_findings,
    webhooks_findings,
)
from healthd.observations import DatabaseSeen, SchemaSeen, ServiceSeen, Sight, Snapshot, StreamSeen, WebhooksSeen
from healthd.rules import NOTHING, Findings
from healthd.verdict import LOOKS_THAT_CONVINCE, Standing, Verdict, blind_spots, judge, steady


class Board:
    """Takes the result of every look; answers with the newest snapshot and the verdict on it, never waiting."""

    def __init__(
        self,
        services: Iterable[str],
        limits: Limits,
        *,
        has_stream: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.snapshot = Snapshot(services={name: Sight() for name in services}, has_stream=has_stream)
        self.limits = limits
        self.now = clock
        self.started_at = clock()
        self._standings: dict[str, Standing] = {}
        self._unheard = {*self.snapshot.services, "database", "webhooks", "schema", *({"stream"} if has_stream else ())}

    @property
    def has_first_verdict(self) -> bool:
        """Whether every source was looked at and doubts were cleared up: from then on ``unknown`` is an answer."""
        return not self._unheard

    def verdict(self) -> Verdict:
        """What all that is known means now; what nobody has looked at for long is unknown at once."""
        held: Findings = NOTHING.union(*(standing.held for standing in self._standings.values()))
        return judge(held | blind_spots(self.snapshot, self.now(), self.limits))

    def is_settled(self, source: str) -> bool:
        """Whether the looks at a source agree, so that the next one may wait for its turn."""
        standing = self._standings.get(source)
        return standing is not None and standing.is_settled

    def put_service(self, name: str, sight: Sight[ServiceSeen]) -> None:
        """After a look at every replica of a service."""
        self.snapshot = replace(self.snapshot, services={**self.snapshot.services, name: sight})
        self._weigh(name, service_findings(name, sight, self.limits))

    def put_database(self, sight: Sight[DatabaseSeen]) -> None:
        """After a look at PostgreSQL."""
        self.snapshot = replace(self.snapshot, database=sight)
        self._weigh("database", database_findings(sight, self.limits))

    def put_webhooks(self, sight: Sight[WebhooksSeen]) -> None:
        """After a count of the journal."""
        self.snapshot = replace(self.snapshot, webhooks=sight)
        self._weigh("webhooks", webhooks_findings(sight, self.limits))

    def put_schema(self, sight: Sight[SchemaSeen]) -> None:
        """After a look at the schema."""
        self.snapshot = replace(self.snapshot, schema=sight)
        self._weigh("schema", schema_findings(sight))

    def put_stream(self, sight: Sight[StreamSeen]) -> None:
        """After a look at JetStream."""
        self.snapshot = replace(self.snapshot, stream=sight)
        self._weigh("stream", stream_findings(sight))

    def _weigh(self, source: str, found: Findings) -> None:
        standing = self._standings[source] = steady(self._standings.get(source), found)
        if standing.is_settled or standing.looks > LOOKS_THAT_CONVINCE:
            self._unheard.discard(source)
