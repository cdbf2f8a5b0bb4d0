"""Messages that this process itself left unacknowledged: when they come again, nothing has died of them."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from processor.outcome import Work
from sluice.nats.jetstream import IncomingMessage

_REMEMBERED = 10_000


@dataclass(frozen=True)
class ReleasedMessages:
    """How often each of them was delivered, by its place in the stream; the oldest are forgotten."""

    _deliveries: "OrderedDict[int, int]" = field(default_factory=OrderedDict)

    def add(self, works: Iterable[Work]) -> None:
        """Note messages whose time was up before their turn came; not those that were suspect before."""
        for work in works:
            if not work.is_redelivered:
                self._deliveries[work.message.sequence] = work.message.deliveries
        while len(self._deliveries) > _REMEMBERED:
            self._deliveries.popitem(last=False)

    def take(self, message: IncomingMessage) -> int:
        """How many deliveries of a message, this one included, are known to have ended well."""
        return self._deliveries.pop(message.sequence, 0) + 1
