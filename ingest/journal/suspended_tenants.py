"""Organisers one of whose rows PostgreSQL refused just now; another such row would have the write halved again."""

import time
from collections.abc import Callable, Iterable, Sequence

from ingest import metrics
from ingest.errors import TooMuchAtOnce
from ingest.journal.batch import QueuedWebhook

_SECONDS = 10.0
_KEPT = 1_000


class SuspendedTenants:
    """Refuses an organiser's webhooks for ten seconds after one of them was found by halving a write."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def bar(self, organisers: Iterable[str | None]) -> None:
        """From now on; the platform's webhooks, None, are never barred."""
        for organiser in organisers:
            if organiser is not None:
                self._until.pop(organiser, None)
                self._until[organiser] = self._clock() + _SECONDS
        while len(self._until) > _KEPT:
            del self._until[next(iter(self._until))]

    def check(self, organiser: str | None) -> None:
        """Raise TooMuchAtOnce for an organiser that is barred now."""
        if self._until and organiser is not None and self._until.get(organiser, 0) > self._clock():
            metrics.OVER_SHARE.labels("refused_rows").inc()
            raise TooMuchAtOnce

    def split(self, batch: Sequence[QueuedWebhook]) -> tuple[Sequence[QueuedWebhook], Sequence[QueuedWebhook]]:
        """Those that may be written, and those of barred organisers."""
        if not self._until:
            return batch, ()
        now = self._clock()
        free: list[QueuedWebhook] = []
        suspended: list[QueuedWebhook] = []
        for waiting in batch:
            until = self._until.get(waiting.event.tenant or "", 0)
            (suspended if until > now else free).append(waiting)
        return free, suspended
