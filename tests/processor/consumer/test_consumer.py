"""The fetch loop, and the processor under the role that it has in production."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from devstack.ports import free_port
from processor.consumer.consumer import Consumer, next_size
from processor.consumer.stream_health import StreamHealth
from processor.payments.ledger import apply_facts
from processor.queue.direct import Direct
from processor.queue.leases import Leases
from processor.settings import ProcessorSettings
from sluice.contract.event import StripeEvent
from sluice.error_log.error_log import ErrorLog
from sluice.nats.jetstream import IncomingMessage, JetStream
from sluice.outcomes import Outcome, Parked
from sluice.postgres.pool import Database
from sluice.registry import Transaction, handles, handles_batch
from tests.processor.harness import Harness, Message, event


class HandStream(JetStream):
    """A stream that hands out what a test puts in, and counts how often it was asked."""

    def __init__(self, *messages: Message) -> None:
        super().__init__([], name="test", stream=None, consumer=None)  # type: ignore[arg-type]
        self.messages = list(messages)
        self.fetches = 0

    async def fetch(self, batch: int, *, within_seconds: float = 1) -> Sequence[IncomingMessage]:
        """At most so many of what is left."""
        del within_seconds
        self.fetches += 1
        taken, self.messages = self.messages[:batch], self.messages[batch:]
        return [message.incoming() for message in taken]


class OneByOne(HandStream):
    """A stream to which nothing comes together."""

    async def fetch(self, batch: int, *, within_seconds: float = 1) -> Sequence[IncomingMessage]:
        """One of what is left."""
        return await super().fetch(min(batch, 1), within_seconds=within_seconds)


def consumer_of(harness: Harness, stream: HandStream, *, loops: int = 1) -> Consumer:
    """The loop, by hand."""
    worker, direct = harness.worker(), Direct(harness.database)
    return Consumer(
        stream=stream,
        worker=worker,
        database_gate=worker.database_gate,
        stop=harness.stop,
        direct=direct,
        watch=StreamHealth(stream, harness.database),
        leases=Leases(direct, ack_wait_seconds=30),
        batch_size=2,
        loops=loops,
    )


async def test_nothing_is_asked_of_the_stream_before_postgres_has_answered() -> None:
    """A processor that starts during an outage holds no message that it cannot process."""
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    async with Database.connect(url, application_name="test") as database:
        harness, stream = Harness(database, ErrorLog(url, service="processor")), HandStream()
        for _ in range(3):
            await consumer_of(harness, stream).run_once()
    assert stream.fetches == 0


async def test_a_fetch_holds_no_more_than_a_batch(harness: Harness) -> None:
    """A message that is not fetched may go to another processor."""
    messages = await harness.recorded(event(), event(), event())
    stream = HandStream(*messages)
    await consumer_of(harness, stream).run_once()
    assert [message.is_acknowledged for message in messages] == [True, True, False]


async def test_while_one_batch_waits_another_is_processed(harness: Harness) -> None:
    """A slow handler holds up its own loop alone."""
    met = asyncio.Barrier(2)

    @handles("test.meets", registry=harness.registry)
    async def meet(_: StripeEvent, __: Transaction) -> None:
        async with met:
            harness.stop.set()

    messages = await harness.recorded(event("test.meets"), event(), event("test.meets"))
    await consumer_of(harness, HandStream(*messages), loops=2).run()
    assert all(message.is_acknowledged for message in messages)


async def test_a_batch_that_takes_long_holds_up_no_other(harness: Harness) -> None:
    """Where messages come one by one, too: the next loop begins before the first has ended."""
    met = asyncio.Barrier(2)

    @handles("test.meets", registry=harness.registry)
    async def meet(_: StripeEvent, __: Transaction) -> None:
        async with met:
            harness.stop.set()

    messages = await harness.recorded(event("test.meets"), event("test.meets"))
    await consumer_of(harness, OneByOne(*messages), loops=2).run()
    assert all(message.is_acknowledged for message in messages)


async def test_the_processors_own_role_may_do_all_that_it_must(
    harness: Harness, role_url: Callable[[str], str]
) -> None:
    """Least privilege still lets it claim, run alone, settle, park, fail, bury, keep the ledger and report."""
    await harness.database.execute("GRANT SELECT, INSERT ON effect TO sluice_processor")

    @handles("test.parks", registry=harness.registry)
    async def park(_: StripeEvent, __: Transaction) -> Outcome:
        return Parked("events row 42")

    @handles("test.fails", registry=harness.registry)
    async def fail(_: StripeEvent, __: Transaction) -> None:
        raise LookupError

    handles_batch("charge.succeeded", registry=harness.registry)(apply_facts)
    types = ("test.effect", "test.parks", "test.fails", "charge.succeeded")
    *messages, alone = await harness.recorded(*(event(each) for each in types), event())
    url = role_url("processor")
    async with Database.connect(url, application_name="sluice-processor") as database:
        restricted = Harness(database, ErrorLog(url, service="processor"), registry=harness.registry)
        await restricted.take(*messages, alone.again())
        assert await restricted.worker().database_gate.has_answer()
        await restricted.store_errors()
    assert len(await harness.error_rows()) == 1
    rows = await harness.database.fetch("SELECT outcome FROM webhook_logs ORDER BY id")
    assert [row["outcome"] for row in rows] == ["applied", "parked", "failed", "applied", "applied"]


@pytest.mark.parametrize(("pool", "loops"), [(10, 4), (4, 3), (2, 1), (1, 1)])
def test_one_connection_is_left_beside_the_loops(pool: int, loops: int) -> None:
    """A loop without a connection would take its wait for an outage."""
    urls = {"database_url": "postgresql://sluice@db/sluice", "nats_url": "nats://bus"}
    settings = ProcessorSettings.model_validate({**urls, "database_pool_max_size": pool})
    assert settings.batches_at_once == loops


def test_a_quick_backlog_is_taken_in_larger_and_larger_batches() -> None:
    """Doubling, up to what is set."""
    size = 100
    for expected in (200, 400, 500, 500):
        size = next_size(size, taken=size, seconds=0.1, most=500)
        assert size == expected


def test_slow_work_is_taken_in_smaller_and_smaller_batches() -> None:
    """Handlers that need 20 ms for each event are soon far from their time limit; and it grows no more by itself."""
    size = 500
    for _ in range(6):
        size = next_size(size, taken=size, seconds=size * 0.02, most=500)
    assert size == 31
    assert next_size(31, taken=31, seconds=0.62, most=500) == 31
    assert next_size(1, taken=1, seconds=9, most=500) == 1


def test_a_trickle_changes_nothing() -> None:
    """A fetch that was not full says nothing of larger ones."""
    assert next_size(100, taken=3, seconds=0.01, most=500) == 100
