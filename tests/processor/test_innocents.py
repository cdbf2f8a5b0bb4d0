"""One bad handler, or one bad organiser, among a thousand innocents, in a real processor: it harms no other."""

import json
import math
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice

import nats
import pytest
import pytest_asyncio

from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import CONSUMER, STREAM
from tests.processor.harness import Harness, event
from tests.processor.misbehaving import FAILING, HOLDING, STRAYING
from tests.processor.processes import Processes
from tests.processor.relay import open_relay
from tests.waiting import until

pytestmark = pytest.mark.alone
INNOCENTS = 1_000
TOGETHER = 25
BAD = 8
PATIENT = {"HANDLER_SECONDS": "1", "ACK_WAIT_SECONDS": "12", "LOCK_SECONDS": "0.5"}
ROOM_SECONDS = 2.0
"""What this may be slower by on a machine that stalls; a party that holds others up costs many times that."""


@pytest_asyncio.fixture
async def processes(harness: Harness, database_url: str, nats_url: str) -> AsyncIterator[Processes]:
    """Everything but the processor."""
    async with open_relay(database_url, nats_url) as relay:
        yield Processes(harness, relay, database_url, nats_url)


@pytest.mark.parametrize("types", [*([each] for each in HOLDING), list(FAILING), list(STRAYING)], ids=" ".join)
async def test_a_bad_handler_is_its_own_events_trouble(processes: Processes, types: Sequence[str]) -> None:
    """None of the thousand is charged, late, lost or doubled, and the processor is the same one at the end."""
    first, bad = [event(each) for each in types], [event(each) for each in islice(cycle(types), max(BAD, len(types)))]
    async with processes.processor(**PATIENT) as process:
        await until(processes.relay.has_consumer)
        calm = await _go_through(processes, ())
        await _go_through(processes, first, innocents=TOGETHER * len(first))
        for one in first:
            await until(partial(_is_known, processes, one))
        loaded = await _go_through(processes, bad)
        assert process.returncode is None
    assert await _have_no_effect(processes, [*first, *bad])
    _compare(" ".join(types), calm, loaded)


async def test_an_organisers_heavy_webhooks_are_dead_at_once_and_delay_no_other(processes: Processes) -> None:
    """Thirty thousand intents in each of a dozen signed invoices."""
    heavy = [_invoice(number, intents=30_000) for number in range(12)]
    async with processes.processor(**PATIENT) as process:
        await until(processes.relay.has_consumer)
        calm = await _go_through(processes, ())
        loaded = await _go_through(processes, heavy)
        await until(lambda: _are_settled_by_relay(processes, heavy), within_seconds=60)
        assert process.returncode is None
    for one in heavy:
        row = await processes.harness.row(one)
        assert (row["processing_attempts"], row["dead_at"] is not None) == (1, True)
        assert "more than 1000 facts" in row["last_error"]
    _compare("heavy", calm, loaded)


@pytest.mark.parametrize("organisers", [1, 3, 4])
async def test_organisers_floods_let_the_others_through(processes: Processes, nats_url: str, organisers: int) -> None:
    """Two thousand small webhooks of organisers stand before fifty others in the stream, and do not hold them up."""
    others = [event() for _ in range(50)]
    flood = [_of_organiser(event(), name) for name in islice(cycle(map(str, range(organisers))), 2_000)]
    await processes.harness.record(*flood, *others)
    async with processes.processor(**PATIENT):
        await until(processes.relay.has_consumer)
    await until(lambda: _has_no_pull(nats_url))  # else what is published first goes to the processor that is gone
    await processes.relay.publish(*flood, *others)
    async with processes.processor(**PATIENT, CONCURRENT_BATCHES="1"):
        await until(lambda: processes.are_settled(others), within_seconds=60)
    before = await _processed_before(processes, flood, others)
    sys.stdout.write(f"{organisers} floods: {before} of {len(flood)} before the others\n")
    assert before < len(flood) // 2
    assert set((await processes.harness.effects()).values()) == {1}
    assert await _charged(processes, [*flood, *others]) == 0


async def _has_no_pull(nats_url: str) -> bool:
    """Whether NATS has noticed the end of each processor."""
    client = await nats.connect(nats_url)
    consumer = await client.jetstream().consumer_info(STREAM, CONSUMER)
    await client.close()
    return bool(consumer.num_waiting == 0)


def _of_organiser(one: StripeEvent, name: str) -> StripeEvent:
    return replace(one, stripe_event_id=f"{one.stripe_event_id}@{name}", tenant=name)


def _invoice(number: int, *, intents: int) -> StripeEvent:
    """An ``invoice.paid`` that names very many payments."""
    payments = [{"payment": {"payment_intent": f"pi_{number}_{n}"}} for n in range(intents)]
    invoice = {"id": f"in_{number}", "object": "invoice", "status": "paid", "payments": {"data": payments}}
    body = {
        "id": f"evt_heavy_{number}",
        "object": "event",
        "type": "invoice.paid",
        "created": 1_790_000_000,
        "livemode": True,
        "data": {"object": invoice},
    }
    return read_event(json.dumps(body).encode(), tenant="7")


async def _processed_before(processes: Processes, these: Sequence[StripeEvent], those: Sequence[StripeEvent]) -> int:
    """How many of these were processed before the last of those."""
    rows = await processes.harness.database.fetch(
        "SELECT count(*) AS before FROM webhook_logs WHERE stripe_event_id = ANY ($1) AND processed_at <"
        " (SELECT max(processed_at) FROM webhook_logs WHERE stripe_event_id = ANY ($2))",
        [one.stripe_event_id for one in these],
        [one.stripe_event_id for one in those],
    )
    before: int = rows[0]["before"]
    return before


def _compare(what: str, calm: float, loaded: float) -> None:
    """Show the innocents' p99, in seconds, and hold it to about twice the calm one; ``pytest -rP`` shows them all."""
    sys.stdout.write(f"p99 {what}: calm {calm:.3f} s, loaded {loaded:.3f} s\n")
    assert loaded <= 2 * calm + ROOM_SECONDS


async def _go_through(processes: Processes, bad: Sequence[StripeEvent], *, innocents: int = INNOCENTS) -> float:
    """Innocents in small groups, each with one of the bad; their p99 from the row to the effect, in seconds."""
    fine = [event() for _ in range(innocents)]
    companions = iter(bad)
    for group in (fine[start : start + TOGETHER] for start in range(0, len(fine), TOGETHER)):
        companion = tuple(islice(companions, 1))
        await processes.harness.record(*companion)  # by itself: a large body takes PostgreSQL its time
        await processes.harness.record(*group)
        await processes.relay.publish(*group, *companion)
    await until(lambda: processes.are_settled(fine), within_seconds=90, what="every innocent processed")
    effects = await processes.harness.effects()
    assert {one.stripe_event_id: effects.get(one.stripe_event_id) for one in fine} == {
        one.stripe_event_id: 1 for one in fine
    }
    assert await _charged(processes, fine) == 0
    return await _p99(processes, fine)


async def _are_settled_by_relay(processes: Processes, events: Sequence[StripeEvent]) -> bool:
    """Whether they are; those that were left to the relay are published again, as it does."""
    by_id = {one.stripe_event_id: one for one in events}
    due = await processes.harness.database.fetch(
        "UPDATE webhook_logs SET published_at = now(), publications = publications + 1"
        " WHERE stripe_event_id = ANY ($1) AND published_at IS NULL AND NOT processed AND dead_at IS NULL"
        " RETURNING stripe_event_id, publications, processing_attempts",
        list(by_id),
    )
    for row in due:
        one, attempt = by_id[row["stripe_event_id"]], row["processing_attempts"]
        await processes.relay.publish(one, publication=row["publications"], attempt=attempt)
    return await processes.are_settled(events)


async def _is_known(processes: Processes, bad: StripeEvent) -> bool:
    row = await processes.harness.row(bad)
    return bool(row["processed"] or row["last_error"])


async def _have_no_effect(processes: Processes, bad: Sequence[StripeEvent]) -> bool:
    """Whether none of these is processed, dead, or leased."""
    rows = [await processes.harness.row(one) for one in bad]
    effects = await processes.harness.effects()
    return not any(row["processed"] or row["dead_at"] or row["stripe_event_id"] in effects for row in rows)


async def _charged(processes: Processes, innocents: Sequence[StripeEvent]) -> int:
    """How many have an attempt, a start alone, a postponement or a death to their name."""
    rows = await processes.harness.database.fetch(
        "SELECT count(*) AS charged FROM webhook_logs WHERE stripe_event_id = ANY ($1) AND (processing_attempts > 0"
        " OR solo_starts > 0 OR postponed_at IS NOT NULL OR dead_at IS NOT NULL)",
        [one.stripe_event_id for one in innocents],
    )
    charged: int = rows[0]["charged"]
    return charged


async def _p99(processes: Processes, innocents: Sequence[StripeEvent]) -> float:
    rows = await processes.harness.database.fetch(
        "SELECT extract(epoch FROM processed_at - created_at)::float8 AS seconds FROM webhook_logs"
        " WHERE stripe_event_id = ANY ($1) ORDER BY 1",
        [one.stripe_event_id for one in innocents],
    )
    seconds: float = rows[math.ceil(len(rows) * 0.99) - 1]["seconds"]
    return seconds
