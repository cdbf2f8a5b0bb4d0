"""
Deliveries of known webhooks: repeats, rows to be filled, dead rows to be revived, test events that share an id.

The Dashboard's test webhooks have long come with one id for all types (``evt_00000000000000``). A test event whose id
is recorded for an event of another type is no repeat: it gets a key of its own, ``evt_…~{type}``. Under an id of zeros
another body is enough, and the key is ``evt_00000000000000~{digest of the body}``. No id of Stripe's has a ``~`` in it,
and an organiser's key goes on behind it: ``evt_…~{type}@{events.id}``. Live events never get such a key.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ingest import metrics
from ingest.errors import NotRecorded
from ingest.journal.batch import Batch, QueuedWebhook, by_id, differs, firsts_of, refuse
from ingest.journal.shared_deadline import seconds_left
from ingest.rate_limited_log import RATE_LIMITED_LOG
from sluice.inbox import recorder
from sluice.inbox.recorder import RecordedDelivery
from sluice.postgres.pool import Connection

_ZEROS = re.compile(r"evt_0{8,}(?:@.*)?")
_DIGEST_CHARACTERS = 16


class Committed(NamedTuple):
    """Deliveries that are committed: those of new webhooks, and repeats."""

    new: Batch = ()
    repeats: Batch = ()


async def record_repeats(connection: Connection, batch: Batch, deadline: float) -> Committed:
    """
    Record deliveries of which some webhooks are, or may be, in the log already; refuse those that must come again.

    Args:
        deadline: by the monotonic clock.
    """
    batch = by_id(batch)
    rows = await recorder.record(connection, batch, differs(batch), within_seconds=seconds_left(deadline))
    pairs = list(zip(batch, rows, strict=True))
    await _fill(connection, batch, rows, deadline)
    refuse([waiting for waiting, row in pairs if row.life == "held"], NotRecorded)
    _note(rows)
    done = Committed(
        new=[waiting for waiting, row in pairs if row.is_new],
        repeats=[waiting for waiting, row in pairs if not row.is_new and not row.is_other],
    )
    others = [_renamed(waiting) for waiting, row in pairs if row.is_other]
    if not others:
        return done
    rest = await record_repeats(connection, others, deadline)
    return Committed([*done.new, *rest.new], [*done.repeats, *rest.repeats])


def _renamed(waiting: QueuedWebhook) -> QueuedWebhook:
    """The same delivery under a key of its own."""
    event = waiting.event
    event_id, at, tenant = event.stripe_event_id.partition("@")
    own = event.type
    if _ZEROS.fullmatch(event.stripe_event_id):
        own = hashlib.sha256(event.body).hexdigest()[:_DIGEST_CHARACTERS]
    return waiting._replace(event=replace(event, stripe_event_id=f"{event_id}~{own}{at}{tenant}"))


async def _fill(connection: Connection, batch: Batch, rows: Sequence[RecordedDelivery], deadline: float) -> None:
    """Fill the rows that an earlier application left; refuse who finds one held, since a 200 would lose the webhook."""
    unfilled = {row.stripe_event_id for row in rows if row.is_unfilled}
    if not unfilled:
        return
    waiting = [waiting for waiting in batch if waiting.event.stripe_event_id in unfilled]
    firsts = list(firsts_of(waiting).values())
    filled = await recorder.fill(connection, firsts, within_seconds=seconds_left(deadline))
    held = unfilled.difference(filled)
    refuse([one for one in waiting if one.event.stripe_event_id in held], NotRecorded)


def _note(rows: Sequence[RecordedDelivery]) -> None:
    for row in rows:
        if row.body_differs:
            metrics.BODY_DIFFERS.inc()
            _warn("webhook_body_differs", row.stripe_event_id)
        if row.life == "revived":
            metrics.REVIVED.inc()
            _warn("webhook_revived", row.stripe_event_id)


def _warn(name: str, event_id: str) -> None:
    tenant = event_id.partition("@")[2]
    if tenant:
        RATE_LIMITED_LOG.warn_of(tenant, name, stripe_event_id=event_id)
    else:
        RATE_LIMITED_LOG.warn(name, stripe_event_id=event_id)
