"""Events that name a row which does not exist yet: parked, dead at last, and healed all the same."""

import asyncio
import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from processor.failures.retry_policy import Patience
from processor.payments.backfill import PAYMENTS_AT_ONCE, Backfill, Projection
from processor.payments.backfill_backoff import Postponed
from processor.payments.ledger import apply_facts, reconsider
from processor.payments.row_watch import RowWatch
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.payments.recompute import Node
from sluice.registry import Transaction, handles, handles_batch
from tests.processor.harness import Harness, Message, flat


def paid(events_id: str) -> StripeEvent:
    """A payment that succeeded and names its events row."""
    about = {
        "id": "pi_healed",
        "object": "payment_intent",
        "amount": 4200,
        "amount_received": 4200,
        "currency": "eur",
        "status": "succeeded",
        "created": 1_790_000_000,
        "metadata": {"event_id": events_id},
    }
    envelope = {"id": "evt_healed", "object": "event", "type": "payment_intent.succeeded", "created": 1_790_000_000}
    return read_event(json.dumps({**envelope, "livemode": True, "data": {"object": about}}).encode())


@pytest.fixture
def harness(harness: Harness) -> Harness:
    """A harness with the real ledger."""
    handles_batch("payment_intent.succeeded", registry=harness.registry)(apply_facts)
    return harness


def backfill(harness: Harness) -> Backfill:
    """The periodic job, by hand."""
    return Backfill(harness.database, Projection(RowWatch().take, reconsider), harness.errors, harness.stop)


async def status_of(harness: Harness, events_id: str) -> str:
    """The status of the events row."""
    rows = await harness.database.fetch("SELECT payment_status FROM events WHERE id = $1::uuid", events_id)
    status = rows[0]["payment_status"]
    assert isinstance(status, str)
    return status


async def test_a_parked_payment_heals_when_its_row_appears(harness: Harness) -> None:
    """The event waits; the row appears; its next look settles it."""
    events_id = str(uuid.uuid4())
    event = paid(events_id)
    await harness.record(event)
    await harness.take(Message(event))
    assert (await harness.row(event))["outcome"] == "parked"
    await harness.database.execute("INSERT INTO events (id, name) VALUES ($1::uuid, 'late')", events_id)
    await harness.take(Message(event, attempt=1))
    row = await harness.row(event)
    assert (row["processed"], row["outcome"]) == (True, "applied")
    assert await status_of(harness, events_id) == "paid"


async def test_a_payment_heals_also_after_its_event_has_ended_unmatched(harness: Harness) -> None:
    """Patience ended, without an alarm; the row appears years later and still shows the payment."""
    harness.patience = Patience(patience_seconds=0, spread=flat(0))
    events_id = str(uuid.uuid4())
    event = paid(events_id)
    await harness.record(event)
    await harness.take(Message(event))
    await harness.take(Message(event, attempt=1))
    row = await harness.row(event)
    assert (row["dead_at"], row["outcome"], row["processed"]) == (None, "unmatched", True)
    assert await harness.error_rows() == []
    await harness.database.execute("INSERT INTO events (id, name) VALUES ($1::uuid, 'very late')", events_id)
    await backfill(harness).run_once()
    assert await status_of(harness, events_id) == "paid"


async def test_handlers_of_one_event_are_asked_when_its_patience_ends(harness: Harness) -> None:
    """A stranger's id in the metadata keeps no order from being fulfilled: once, and at last."""
    asked: list[str] = []

    @handles("payment_intent.succeeded", registry=harness.registry)
    async def fulfil(event: StripeEvent, _: Transaction) -> None:
        asked.append(event.stripe_event_id)

    harness.patience = Patience(patience_seconds=3600, spread=flat(0))
    event = paid(str(uuid.uuid4()))
    await harness.record(event)
    await harness.take(Message(event))
    assert asked == []
    await harness.set_row(event, "parked_at = now() - interval '2 hours'")
    await harness.take(Message(event, attempt=1))
    assert asked == [event.stripe_event_id]
    assert (await harness.row(event))["outcome"] == "unmatched"


async def add_awaited(harness: Harness, count: int) -> str:
    """So many payments that wait for one row, which is there now."""
    events_id = str(uuid.uuid4())
    await harness.database.execute("INSERT INTO events (id, name) VALUES ($1::uuid, 'late')", events_id)
    await harness.database.execute(
        "INSERT INTO payment (scope, payment_id, events_id, status, awaits_event, awaits) "
        "SELECT 'live:platform', 'pi_' || lpad(n::text, 5, '0'), $1, 'paid', true, $1 FROM generate_series(1, $2) AS n",
        events_id,
        count,
    )
    await harness.database.execute(
        "INSERT INTO payment_fact "
        "(scope, payment_id, stripe_event_id, said_at, kind, status, names_event, named_by) "
        "SELECT scope, payment_id, 'evt_' || payment_id, now(), 'intent', 'paid', events_id, 'metadata' "
        "FROM payment WHERE events_id = $1",
        events_id,
    )
    return events_id


async def waiting(harness: Harness) -> list[str]:
    """Payments that still wait."""
    return [
        row["payment_id"] for row in await harness.database.fetch("SELECT payment_id FROM payment WHERE awaits_event")
    ]


POISON = """
UPDATE events SET name = 'poison';
UPDATE payment SET payment_id = 'pi_00000';
UPDATE payment_fact SET payment_id = 'pi_00000'
"""
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not this one''; END';
CREATE TRIGGER refuse BEFORE UPDATE ON events FOR EACH ROW WHEN (old.name = 'poison') EXECUTE FUNCTION refuse()
"""


END_BACKEND = "PERFORM pg_terminate_backend(pg_backend_pid())"


async def test_healing_goes_on_without_a_pause_while_there_is_more(harness: Harness) -> None:
    """A thousand payments imported at once are healed in one go, a bounded number in each transaction."""
    await add_awaited(harness, 2 * PAYMENTS_AT_ONCE + 3)
    await backfill(harness).run_once()
    assert await waiting(harness) == []
    rounds = await harness.database.fetch("SELECT count(*) AS size FROM payment GROUP BY xmin::text ORDER BY 1")
    assert [row["size"] for row in rounds] == [3, PAYMENTS_AT_ONCE, PAYMENTS_AT_ONCE]


async def test_a_payment_that_cannot_be_shown_holds_up_no_other(harness: Harness) -> None:
    """A trigger of the user's refuses one row: it is stepped over, named once, and tried again later."""
    await add_awaited(harness, 1)
    await harness.database.execute(POISON)
    await harness.database.execute(REFUSE)
    events_id = await add_awaited(harness, PAYMENTS_AT_ONCE + 1)
    now = [0.0]
    job = replace(backfill(harness), postponed=Postponed(clock=lambda: now[0]))
    for _ in range(3):
        await job.run_once()
    assert await waiting(harness) == ["pi_00000"]
    assert await status_of(harness, events_id) == "paid"
    (row,) = await harness.error_rows()
    assert (row["kind"], "pi_00000" in row["message"]) == ("database", True)
    await harness.database.execute("DROP TRIGGER refuse ON events")
    now[0] += 11
    await job.run_once()
    assert await waiting(harness) == []


async def test_a_payment_that_ends_its_backend_holds_up_no_other(harness: Harness) -> None:
    """A trigger of the user's takes the connection with it: that payment is found by halving and stepped over."""
    await add_awaited(harness, 1)
    await harness.database.execute(POISON)
    await harness.database.execute(REFUSE.replace("RAISE EXCEPTION ''not this one''", END_BACKEND))
    events_id = await add_awaited(harness, PAYMENTS_AT_ONCE + 1)
    await backfill(harness).run_once()
    assert await waiting(harness) == ["pi_00000"]
    assert await status_of(harness, events_id) == "paid"
    (row,) = await harness.error_rows()
    assert "pi_00000" in row["message"]


async def test_the_pause_of_a_payment_grows_and_is_forgotten_at_last() -> None:
    """Up to an hour; a payment that did not fail again starts anew."""
    now = [0.0]
    postponed = Postponed(clock=lambda: now[0])
    node = Node("live:platform", "pi_1")
    assert [postponed.add(node) for _ in range(10)][:3] == [10, 20, 40]
    assert postponed.add(node) == 3600
    assert list(postponed.now()) == [node]
    now[0] = 3601
    assert list(postponed.now()) == []
    assert postponed.add(node) == 3600
    now[0] = 4 * 3600
    assert list(postponed.now()) == []
    assert postponed.add(node) == 10


async def test_a_fault_of_the_projection_is_reported_and_the_healing_goes_on(harness: Harness) -> None:
    """A loop that dies in silence would leave payments unseen."""
    tries: list[int] = []

    async def take(_: Transaction, limit: int, __: Collection[Node]) -> Sequence[Node]:
        tries.append(limit)
        if len(tries) == 2:
            harness.stop.set()
        raise LookupError

    async with asyncio.timeout(2):
        await replace(backfill(harness), projection=Projection(take, reconsider), every_seconds=0.01).run()
    assert len(tries) == 2
    assert {row["kind"] for row in await harness.error_rows()} == {"database"}
