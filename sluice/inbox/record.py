"""The one statement that puts new webhooks into the log; ingest and the reconciler both use it."""

from collections.abc import Sequence

from sluice.contract.event import StripeEvent
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "record.sql")
RECORD_NEW = QUERIES["record_new"]


def columns(events: Sequence[StripeEvent], verified_by: Sequence[str]) -> Sequence[Sequence[object]]:
    """The arrays that ``record_new`` takes first, in the order of the events."""
    return (
        [event.stripe_event_id for event in events],
        [event.type for event in events],
        [event.created for event in events],
        [event.livemode for event in events],
        [event.account for event in events],
        [event.api_version for event in events],
        [event.object_id for event in events],
        [event.tenant for event in events],
        verified_by,
        [event.body for event in events],
    )
