"""The batch of one write of the journal: pure values, no I/O."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from ingest.journal.receipt import ReceiptSink
from sluice.contract.event import StripeEvent
from sluice.failures import Unavailable


class QueuedWebhook(NamedTuple):
    """One delivery, and the request that waits for its receipt."""

    event: StripeEvent
    verified_by: str
    receipt: ReceiptSink


Batch: TypeAlias = Sequence[QueuedWebhook]


def by_id(batch: Batch) -> Batch:
    """Sorted, so that two processes never lock each other's rows crosswise; repeats in the order of their coming."""
    return sorted(batch, key=lambda waiting: waiting.event.stripe_event_id)


def firsts_of(batch: Batch) -> dict[str, QueuedWebhook]:
    """The first of each id, sorted by it."""
    firsts: dict[str, QueuedWebhook] = {}
    for waiting in by_id(batch):
        firsts.setdefault(waiting.event.stripe_event_id, waiting)
    return firsts


def others(batch: Batch, recorded: Sequence[QueuedWebhook]) -> Batch:
    """Those of a batch whose own delivery was not recorded as new."""
    if len(recorded) == len(batch):
        return ()
    new = {id(waiting) for waiting in recorded}
    return by_id([waiting for waiting in batch if id(waiting) not in new])


def differs(batch: Batch) -> Sequence[bool | None]:
    """Whether the body of each differs from that of the first of its id; None for that one."""
    firsts = firsts_of(batch)
    pairs = ((waiting, firsts[waiting.event.stripe_event_id]) for waiting in batch)
    return [None if waiting is first else waiting.event.body != first.event.body for waiting, first in pairs]


def without_receipt(batch: Batch) -> Batch:
    """Those who still wait."""
    return [waiting for waiting in batch if not waiting.receipt.done()]


def refuse(batch: Iterable[QueuedWebhook], failure: type[Unavailable]) -> None:
    """Tell those who still wait that their delivery is not recorded."""
    for waiting in batch:
        if not waiting.receipt.done():
            waiting.receipt.set_exception(failure())
