"""A session keeps a row of ``events`` locked, a psql left open over lunch: all other payments go on."""

import asyncio
import json

from processor import handlers
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.registry import REGISTRY, discover
from tests.processor.harness import Harness, Message

LOCKED, FREE = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def paid(number: int, events_id: str) -> StripeEvent:
    """A payment of an organiser's."""
    intent = {"id": f"pi_{number}", "object": "payment_intent", "status": "succeeded", "amount": 100}
    body = {
        "id": f"evt_paid_{number}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": 1_790_000_000,
        "livemode": True,
        "data": {"object": intent | {"amount_received": 100, "currency": "eur", "metadata": {"event_id": events_id}}},
    }
    return read_event(json.dumps(body).encode())


async def test_a_row_that_stays_locked_holds_up_no_other_payments(harness: Harness) -> None:
    """One turn settles all who do not need the row, and postpones the few who do; they take effect when it is free."""
    harness.registry = discover(handlers, registry=REGISTRY)
    await harness.database.execute(f"INSERT INTO events (id) VALUES ('{LOCKED}'), ('{FREE}')")  # noqa: S608
    held = [paid(number, LOCKED) for number in range(0, 60, 20)]
    others = [paid(number, FREE) for number in range(60) if number % 20]
    messages = await harness.recorded(*held, *others)
    async with harness.database.acquire() as person, person.transaction():
        await person.execute("UPDATE events SET name = 'renamed' WHERE id = $1", LOCKED)
        async with asyncio.timeout(harness.hold_seconds):
            await harness.take(*messages)
        assert [(await harness.row(each))["processed"] for each in others] == [True] * len(others)
        assert all(message.is_acknowledged for message in messages)
    await harness.take(*map(Message, held))
    assert [(await harness.row(each))["processed"] for each in held] == [True] * len(held)
    shown = await harness.database.fetch("SELECT DISTINCT payment_status FROM events")
    assert [row[0] for row in shown] == ["paid"]
