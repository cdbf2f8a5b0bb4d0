"""Events whose first publication failed, as far as we know; forgetting one costs only time: the sweep finds it too."""

import time
from collections.abc import Callable, Sequence

from sluice.contract.event import StripeEvent


class FailedPublications:
    """Remembers a bounded number of them, for the sweep of this process."""

    def __init__(self, rows_max: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rows_max = rows_max
        self._clock = clock
        self._since: dict[str, float] = {}

    def add(self, event: StripeEvent) -> None:
        """Remember one, if there is room."""
        if len(self._since) < self._rows_max:
            self._since[event.stripe_event_id] = self._clock()

    def take(self, rows: int, *, older_than_seconds: float) -> Sequence[str]:
        """The ids of the oldest, no longer remembered here; younger ones may still be due without being known."""
        latest = self._clock() - older_than_seconds
        taken = [event_id for event_id, since in list(self._since.items())[:rows] if since <= latest]
        for event_id in taken:
            del self._since[event_id]
        return taken
