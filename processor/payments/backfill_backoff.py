"""Payments that the backfill leaves out for a while, each for longer with every failure; kept in memory alone."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sluice.payments.recompute import Node
from sluice.runtime.backoff import Backoff

CAPACITY = 10_000
_BACKOFF = Backoff(10, 3600)


@dataclass
class Postponed:
    """At most ``CAPACITY`` payments; past that the oldest is forgotten."""

    clock: Callable[[], float] = time.monotonic
    _failures: dict[Node, int] = field(default_factory=dict)
    _until: dict[Node, float] = field(default_factory=dict)

    def add(self, node: Node) -> float:
        """Leave it out from now on; for how many seconds."""
        failures = self._failures.pop(node, 0) + 1
        self._until.pop(node, None)
        if len(self._until) >= CAPACITY:
            self._forget(next(iter(self._until)))
        pause_seconds = _BACKOFF.seconds(failures)
        self._failures[node] = failures
        self._until[node] = self.clock() + pause_seconds
        return pause_seconds

    def now(self) -> Collection[Node]:
        """Payments to be left out now; one that has not failed for long after its pause is forgotten."""
        now = self.clock()
        for node in [node for node, until in self._until.items() if until + _BACKOFF.longest_seconds < now]:
            self._forget(node)
        return [node for node, until in self._until.items() if until > now]

    def _forget(self, node: Node) -> None:
        del self._until[node], self._failures[node]
