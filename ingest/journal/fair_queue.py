"""
The journal's queue: the platform's webhooks in their order, each organiser's in theirs, and who is written next.

While the platform's wait too, organisers' take no more than a half of a write's rows and a quarter of its bytes; what
they leave the platform's may use. Among organisers the next is always the one with the fewest bytes in that write.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ingest.errors import TooMuchAtOnce
from ingest.journal.batch import QueuedWebhook
from ingest.tenant_limits import Share

_ROWS_OF_ORGANISERS = 2
_BYTES_OF_ORGANISERS = 4
_ROW_BYTES = 1024
"""Cost of a row beside its body, in the reckoning between organisers."""


@dataclass(slots=True)
class Taken:
    """Deliveries that left the queue for one write; they count against the limits until they are given back."""

    waiting: list[QueuedWebhook] = field(default_factory=list)
    body_bytes: int = 0
    of_organisers: int = 0
    """So many of the first are organisers'."""


class FairQueue:
    """
    Deliveries that wait, bounded by rows and bytes.

    Args:
        bytes_max: of all bodies that wait or are being written.
    """

    def __init__(self, *, rows_max: int, bytes_max: int) -> None:
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._platform: deque[QueuedWebhook] = deque()
        self._organisers: OrderedDict[str, deque[QueuedWebhook]] = OrderedDict()
        self._organisers_rows = 0
        self._rows_share = Share(rows_max, "rows")
        self._bytes_share = Share(bytes_max, "queue_bytes")
        self.body_bytes = 0

    def __len__(self) -> int:
        return len(self._platform) + self._organisers_rows

    def put(self, waiting: QueuedWebhook) -> None:
        """
        Add one at the end of its line.

        Raises:
            TooMuchAtOnce: too much waits already, altogether or of this organiser's.
        """
        event = waiting.event
        size = len(event.body)
        rows = len(self._platform) + self._organisers_rows
        if rows >= self._rows_max or self.body_bytes + size > self._bytes_max:
            raise TooMuchAtOnce
        organiser = event.tenant
        if organiser is None:
            self._platform.append(waiting)
        else:
            self._put_behind(organiser, waiting, size)
        self.body_bytes += size

    def take(self, rows: int, body_bytes: int) -> Taken:
        """The next write: at least one of each side that waits, beyond that at most so many rows and bytes."""
        taken = Taken()
        if self._organisers:
            shared = bool(self._platform)
            self._take_organisers(
                taken,
                max(1, rows // _ROWS_OF_ORGANISERS) if shared else rows,
                body_bytes // _BYTES_OF_ORGANISERS if shared else body_bytes,
            )
        self._take_platform(taken, rows, body_bytes)
        return taken

    def give_back(self, taken: Taken) -> None:
        """Free the room of deliveries that are written or refused."""
        self.body_bytes -= taken.body_bytes
        for waiting in taken.waiting[: taken.of_organisers]:
            self._release(waiting)

    def clear(self) -> Sequence[QueuedWebhook]:
        """Take everything out at once, for good."""
        taken = list(self)
        for waiting in taken:
            if waiting.event.tenant is not None:
                self._release(waiting)
            self.body_bytes -= len(waiting.event.body)
        self._platform.clear()
        self._organisers.clear()
        self._organisers_rows = 0
        return taken

    def __iter__(self) -> Iterator[QueuedWebhook]:
        yield from self._platform
        for line in self._organisers.values():
            yield from line

    def _put_behind(self, organiser: str, waiting: QueuedWebhook, size: int) -> None:
        self._rows_share.take(organiser, 1)
        try:
            self._bytes_share.take(organiser, size)
        except TooMuchAtOnce:
            self._rows_share.give_back(organiser, 1)
            raise
        self._organisers.setdefault(organiser, deque()).append(waiting)
        self._organisers_rows += 1

    def _release(self, waiting: QueuedWebhook) -> None:
        organiser = waiting.event.tenant or ""
        self._rows_share.give_back(organiser, 1)
        self._bytes_share.give_back(organiser, len(waiting.event.body))

    def _take_organisers(self, taken: Taken, rows: int, body_bytes: int) -> None:
        """Those that were served stand behind all others afterwards, whose turn it then is."""
        turns = [(0, place, name) for place, name in enumerate(islice(self._organisers, rows))]
        served: dict[str, None] = {}
        while turns and len(taken.waiting) < rows:
            used, place, name = turns[0]
            line = self._organisers[name]
            size = len(line[0].event.body)
            if taken.waiting and taken.body_bytes + size > body_bytes:
                break
            taken.waiting.append(line.popleft())
            taken.body_bytes += size
            served[name] = None
            if line:
                heapq.heapreplace(turns, (used + size + _ROW_BYTES, place, name))
            else:
                heapq.heappop(turns)
                del self._organisers[name]
        for name in served:
            if name in self._organisers:
                self._organisers.move_to_end(name)
        taken.of_organisers = len(taken.waiting)
        self._organisers_rows -= taken.of_organisers

    def _take_platform(self, taken: Taken, rows: int, body_bytes: int) -> None:
        line, waiting, used = self._platform, taken.waiting, taken.body_bytes
        is_first = True
        while line and (is_first or len(waiting) < rows):
            size = len(line[0].event.body)
            if not is_first and used + size > body_bytes:
                break
            waiting.append(line.popleft())
            used += size
            is_first = False
        taken.body_bytes = used
