"""A handler is tested like any function: an event in, rows out. Needs DATABASE_URL of a migrated database."""

import asyncio
import itertools
import json
import os
from collections.abc import Sequence

import asyncpg
import pytest
from sluice_loyalty.handlers import remember_charge

from sluice import Ignored, Outcome, StripeEvent
from sluice.contract.envelope import read_event

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="DATABASE_URL is not set")
BALANCE = "SELECT points FROM loyalty_balance WHERE customer_id = 'cus_1'"


def charge(event_type: str, *, refunded: int = 0, customer: str | None = "cus_1") -> StripeEvent:
    """An event about one charge of 42.00."""
    about = {"id": "ch_1", "customer": customer, "amount_captured": 4200, "amount_refunded": refunded}
    event_id = f"evt_{event_type}_{refunded}".replace(".", "_")
    envelope = {"id": event_id, "object": "event", "type": event_type, "created": 1_790_000_000}
    return read_event(json.dumps({**envelope, "livemode": True, "data": {"object": about}}).encode())


async def _points_after(events: Sequence[StripeEvent]) -> tuple[int | None, list[Outcome]]:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"], timeout=10)
    try:
        transaction = connection.transaction()
        await transaction.start()
        outcomes = [await remember_charge(event, connection) for event in events]
        points = await connection.fetchval(BALANCE)
        await transaction.rollback()
    finally:
        await connection.close(timeout=5)
    return points, outcomes


HISTORY = [
    charge("charge.succeeded"),
    charge("charge.refunded", refunded=1000),
    charge("charge.refunded", refunded=1500),
]


@pytest.mark.parametrize("events", itertools.permutations([*HISTORY, HISTORY[0]]))
def test_every_order_ends_in_the_same_points(events: Sequence[StripeEvent]) -> None:
    """Stripe promises no order and repeats itself; 42.00 less 15.00 are 27 points all the same."""
    points, _ = asyncio.run(_points_after(events))
    assert points == 27


def test_a_guest_collects_no_points() -> None:
    """A charge without a customer is known and changes nothing."""
    points, outcomes = asyncio.run(_points_after([charge("charge.succeeded", customer=None)]))
    assert points is None
    assert isinstance(outcomes[0], Ignored)
