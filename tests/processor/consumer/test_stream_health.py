"""When due webhooks are taken from PostgreSQL: the stream is away, or brings nothing of what waits."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from processor.consumer.stream_health import Condition, StreamHealth
from sluice.nats.types import ConsumerProgress
from tests.processor.consumer.test_consumer import HandStream, consumer_of
from tests.processor.harness import Harness, Message, event

IDLE = ConsumerProgress(delivered=7, acknowledged=7, pending=0, ack_pending=0)
LONG = "published_at = now() - interval '10 seconds'"


def watch_of(harness: Harness) -> StreamHealth:
    """A watch of a stream that a test answers for."""
    return StreamHealth(HandStream(), harness.database, grace_seconds=2)


def found(watch: StreamHealth) -> Condition:
    """Its last condition."""
    return watch.condition


async def test_a_stream_that_does_not_answer_for_the_grace_is_away(harness: Harness) -> None:
    """Until it answers; a look that was lost is no absence."""
    watch = watch_of(harness)
    await watch.saw(None, elapsed_seconds=1.9)
    await watch.saw(IDLE, elapsed_seconds=1)
    await watch.saw(None, elapsed_seconds=1.9)
    assert found(watch) is Condition.WELL
    await watch.saw(None, elapsed_seconds=0.2)
    assert found(watch) is Condition.AWAY
    await watch.saw(IDLE, elapsed_seconds=0.2)
    assert found(watch) is Condition.WELL


async def test_a_stream_whose_connection_is_lost_again_and_again_is_away(harness: Harness) -> None:
    """The first connection and one restart are nothing; two losses in a row are, until none was seen for a while."""
    stream = HandStream()
    watch = StreamHealth(stream, harness.database, grace_seconds=2)
    for generation, condition in ((1, Condition.WELL), (2, Condition.WELL), (3, Condition.AWAY)):
        stream.generation = generation
        await watch.saw(IDLE, elapsed_seconds=0.5)
        assert found(watch) is condition
    await watch.saw(IDLE, elapsed_seconds=2)
    assert found(watch) is Condition.AWAY
    await watch.saw(IDLE, elapsed_seconds=2)
    assert found(watch) is Condition.WELL


async def test_losses_that_lie_far_apart_are_forgiven(harness: Harness) -> None:
    """A connection that is lost every half minute costs less than doing without."""
    stream = HandStream()
    watch = StreamHealth(stream, harness.database, grace_seconds=2)
    for generation in range(1, 10):
        stream.generation = generation
        await watch.saw(IDLE, elapsed_seconds=30)
        assert found(watch) is Condition.WELL


async def test_webhooks_that_wait_beside_an_idle_stream_are_taken(harness: Harness) -> None:
    """Nothing is under way, and a processor has asked for the grace: it takes or has lost what was published."""
    lost = event()
    await harness.record(lost)
    await harness.set_row(lost, LONG)
    watch = watch_of(harness)
    await watch.saw(IDLE, elapsed_seconds=0.5)
    assert found(watch) is Condition.WELL  # no processor has asked for so long
    watch.fetched(0, seconds=2)
    await watch.saw(IDLE, elapsed_seconds=0.5)
    assert found(watch) is Condition.STALLED


async def test_an_unpublished_retry_is_taken(harness: Harness) -> None:
    """The sweep brings what is due within a second or two; it is given more."""
    retry = event()
    await harness.record(retry, attempts=1)
    watch = watch_of(harness)
    watch.fetched(0, seconds=2)
    for seconds, condition in ((6, Condition.WELL), (8, Condition.STALLED)):
        due = f"published_at = NULL, next_attempt_at = now() - interval '{seconds} seconds'"
        await harness.set_row(retry, due)
        await watch.saw(IDLE, elapsed_seconds=0.5)
        assert found(watch) is condition


@pytest.mark.parametrize(
    "progress",
    [
        ConsumerProgress(delivered=8, acknowledged=7, pending=0, ack_pending=1),
        ConsumerProgress(delivered=7, acknowledged=7, pending=1, ack_pending=0),
    ],
    ids=["in another's hand", "not delivered yet"],
)
async def test_what_is_on_its_way_is_left_to_the_stream(harness: Harness, progress: ConsumerProgress) -> None:
    """However long another processor takes for it."""
    slow = event()
    await harness.record(slow)
    await harness.set_row(slow, LONG)
    watch = watch_of(harness)
    watch.fetched(0, seconds=60)
    await watch.saw(progress, elapsed_seconds=0.5)
    assert found(watch) is Condition.WELL


async def test_what_a_consumer_owes_and_never_brings_is_taken(harness: Harness) -> None:
    """It has messages for any processor that asks, and asking for the grace brought none."""
    owed = event()
    await harness.record(owed)
    await harness.set_row(owed, LONG)
    watch, stuck = watch_of(harness), ConsumerProgress(delivered=7, acknowledged=7, pending=5, ack_pending=0)
    watch.fetched(0, seconds=60)
    for _ in range(5):
        await watch.saw(stuck, elapsed_seconds=0.5)
    assert found(watch) is Condition.STALLED


async def test_a_stream_is_well_again_when_it_moves_or_nothing_was_taken_for_long(harness: Harness) -> None:
    """While webhooks have to be taken it is not."""
    lost = event()
    await harness.record(lost)
    await harness.set_row(lost, LONG)
    moved = ConsumerProgress(delivered=8, acknowledged=8, pending=0, ack_pending=0)
    for progress, looks in ((moved, 1), (IDLE, 10)):
        watch = watch_of(harness)
        watch.fetched(0, seconds=2)
        await watch.saw(IDLE, elapsed_seconds=0.5)
        for _ in range(20):
            watch.took()
            await watch.saw(IDLE, elapsed_seconds=1)
        assert found(watch) is Condition.STALLED
        for _ in range(looks):
            assert found(watch) is Condition.STALLED
            await watch.saw(progress, elapsed_seconds=1)
        assert found(watch) is Condition.WELL


async def test_a_fetch_ends_when_the_stream_is_found_to_be_away(harness: Harness) -> None:
    """And what is due is taken in its stead."""

    class Silent(HandStream):
        async def fetch(self, batch: int, *, within_seconds: float = 1) -> list[object]:  # type: ignore[override]
            del batch, within_seconds
            self.fetches += 1
            await asyncio.Event().wait()
            raise AssertionError

    await harness.record(event())
    consumer = consumer_of(harness, Silent())
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        turn = group.create_task(consumer.run_once())
        while not consumer.stream.fetches:  # type: ignore[union-attr]
            await asyncio.sleep(0)
        await consumer.watch.saw(None, elapsed_seconds=5)
        await turn
        await consumer.run_once()
    assert set((await harness.effects()).values()) == {1}


async def test_in_calm_weather_nothing_is_taken(harness: Harness) -> None:
    """Every webhook comes by the stream, and the counter shows it."""
    before = REGISTRY.get_sample_value("webhook_events_taken_directly_total")
    messages: list[Message] = list(await harness.recorded(*(event() for _ in range(20))))
    consumer = consumer_of(harness, HandStream(*messages))
    while not all(message.is_acknowledged for message in messages):
        await consumer.run_once()
        await consumer.watch.saw(IDLE, elapsed_seconds=0.5)
    assert REGISTRY.get_sample_value("webhook_events_taken_directly_total") == before
