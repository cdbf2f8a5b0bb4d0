"""Put webhooks into the log, with what the journal needs to know of those that were there before."""

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from sluice.contract.event import StripeEvent
from sluice.postgres.pool import Connection
from sluice.postgres.sql import columns, load_queries

QUERIES = load_queries(__file__, "recorder.sql")

Life: TypeAlias = Literal["revived", "alive", "held"]


class Delivery(Protocol):
    """A verified webhook and the fingerprint of the secret that verified it."""

    @property
    def event(self) -> StripeEvent:
        """The webhook."""

    @property
    def verified_by(self) -> str:
        """Fingerprint of the secret."""


class RecordedDelivery(NamedTuple):
    """Result of ``record`` for one delivery."""

    place: int
    stripe_event_id: str
    is_new: bool
    """It is in the log now and was not before."""
    is_other: bool
    """A test event whose id is recorded for another event; nothing was written."""
    body_differs: bool
    is_unfilled: bool
    """Its row is one that an earlier application left without a body; see ``fill``."""
    life: Life | None
    """Of a dead row: whether it lives again, lived already, or is held by another transaction."""


async def record_new(connection: Connection, deliveries: Sequence[Delivery], *, within_seconds: float) -> Sequence[str]:
    """
    Record webhooks in one statement and one commit.

    Args:
        deliveries: each id once, sorted by id.

    Returns:
        The ids that were not in the log before; the others are for ``record``.
    """
    return await _record_new(connection, deliveries, publishes=True, within_seconds=within_seconds)


async def record_listed(
    connection: Connection, deliveries: Sequence[Delivery], *, within_seconds: float
) -> Sequence[str]:
    """
    Record events that Stripe's API gave, due at once; the relay publishes them, and nothing that is there changes.

    Args:
        deliveries: each id once, sorted by id.

    Returns:
        The ids that were not in the log before.
    """
    return await _record_new(connection, deliveries, publishes=False, within_seconds=within_seconds)


async def record(
    connection: Connection,
    deliveries: Sequence[Delivery],
    differs_from_first: Sequence[bool | None],
    *,
    within_seconds: float,
) -> Sequence[RecordedDelivery]:
    """
    Record webhooks of which some are, or may be, in the log already; revive the dead among those.

    Args:
        deliveries: sorted by id, the first of each id before its repeats.
        differs_from_first: whether each body differs from that of the first of its id; None for that one.
    """
    rows = await connection.fetch(QUERIES["record"], *_columns(deliveries), differs_from_first, timeout=within_seconds)
    return [RecordedDelivery(*row) for row in rows]


async def fill(connection: Connection, deliveries: Sequence[Delivery], *, within_seconds: float) -> Collection[str]:
    """
    Give an earlier application's rows their bodies.

    Returns:
        The ids that were filled; other transactions hold the rest.
    """
    rows = await connection.fetch(QUERIES["fill"], *_columns(deliveries), timeout=within_seconds)
    return {row["stripe_event_id"] for row in rows}


async def _record_new(
    connection: Connection, deliveries: Sequence[Delivery], *, publishes: bool, within_seconds: float
) -> Sequence[str]:
    rows = await connection.fetch(QUERIES["record_new"], *_columns(deliveries), publishes, timeout=within_seconds)
    return [row["stripe_event_id"] for row in rows]


def _columns(deliveries: Sequence[Delivery]) -> Sequence[Sequence[object]]:
    """Arguments that every query of this file takes first, in the order of the deliveries."""
    return columns((_row(delivery.event, delivery.verified_by) for delivery in deliveries), 10)


def _row(event: StripeEvent, verified_by: str) -> tuple[object, ...]:
    """A webhook in the order of the statements."""
    return (
        event.stripe_event_id,
        event.type,
        event.created,
        event.livemode,
        event.account,
        event.api_version,
        event.object_id,
        event.tenant,
        verified_by,
        event.body,
    )
