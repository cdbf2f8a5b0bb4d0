"""The newest observations and the verdict on them: all of healthd's state that changes."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from healthd.debounce import LOOKS_THAT_CONVINCE, Debounced, debounce
from healthd.findings import (
    Limits,
    database_findings,
    pauses_findings,
    schema_findings,
    service_findings,
    stream_findings,
    stripe_findings,
    webhooks_findings,
)
from healthd.observations import (
    DatabaseSeen,
    GrowthSeen,
    Observation,
    PausesSeen,
    SchemaSeen,
    ServiceSeen,
    Snapshot,
    StreamSeen,
    StripeSeen,
    WebhooksSeen,
)
from healthd.rules import NOTHING, Findings
from healthd.verdict import Verdict, blind_spots, judge


class HealthState:
    """Takes the result of every look; answers with the newest snapshot and the verdict on it, never waiting."""

    def __init__(
        self,
        services: Iterable[str],
        limits: Limits,
        *,
        has_stream: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.snapshot = Snapshot(services={name: Observation() for name in services}, has_stream=has_stream)
        self.limits = limits
        self.now = clock
        self.started_at = clock()
        self._debounced: dict[str, Debounced] = {}
        self._unheard = {*self.snapshot.services, "database", "webhooks", "schema", *({"stream"} if has_stream else ())}

    @property
    def has_first_verdict(self) -> bool:
        """Whether every source was looked at and doubts were cleared up: from then on ``unknown`` is an answer."""
        return not self._unheard

    def verdict(self) -> Verdict:
        """Judge everything that is known now; a source not looked at for too long is unknown at once."""
        held: Findings = NOTHING.union(*(debounced.held for debounced in self._debounced.values()))
        return judge(held | blind_spots(self.snapshot, self.now(), self.limits))

    def is_certain(self, source: str) -> bool:
        """Whether the looks at a source agree, so that the next one may wait for its turn."""
        debounced = self._debounced.get(source)
        return debounced is not None and debounced.is_certain

    def put_service(self, name: str, observation: Observation[ServiceSeen]) -> None:
        """After a look at every replica of a service."""
        self.snapshot = replace(self.snapshot, services={**self.snapshot.services, name: observation})
        self._weigh(name, service_findings(name, observation, self.limits))

    def put_database(self, observation: Observation[DatabaseSeen]) -> None:
        """After a look at PostgreSQL."""
        self.snapshot = replace(self.snapshot, database=observation)
        self._weigh("database", database_findings(observation, self.limits))

    def put_webhooks(self, observation: Observation[WebhooksSeen]) -> None:
        """After a count of the journal."""
        self.snapshot = replace(self.snapshot, webhooks=observation)
        self._weigh("webhooks", webhooks_findings(observation, self.limits))

    def put_schema(self, observation: Observation[SchemaSeen]) -> None:
        """After a look at the schema."""
        self.snapshot = replace(self.snapshot, schema=observation)
        self._weigh("schema", schema_findings(observation))

    def put_stripe(self, observation: Observation[StripeSeen]) -> None:
        """After a look at what the reconciler knows."""
        self.snapshot = replace(self.snapshot, stripe=observation)
        self._weigh("stripe", stripe_findings(observation, self.limits))

    def put_growth(self, seen: GrowthSeen) -> None:
        """After a look at how big the tables are."""
        self.snapshot = replace(self.snapshot, growth=seen)

    def put_pauses(self, observation: Observation[PausesSeen]) -> None:
        """After a look at what is paused."""
        self.snapshot = replace(self.snapshot, pauses=observation)
        self._weigh("pauses", pauses_findings(observation))

    def put_stream(self, observation: Observation[StreamSeen]) -> None:
        """After a look at JetStream."""
        self.snapshot = replace(self.snapshot, stream=observation)
        self._weigh("stream", stream_findings(observation))

    def _weigh(self, source: str, found: Findings) -> None:
        debounced = self._debounced[source] = debounce(self._debounced.get(source), found)
        if debounced.is_certain or debounced.looks > LOOKS_THAT_CONVINCE:
            self._unheard.discard(source)
