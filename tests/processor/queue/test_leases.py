"""A processor that lives keeps its messages; what it leaves comes again soon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from devstack.postgres import PostgresServer
from processor.queue.direct import Direct
from processor.queue.leases import Leases
from sluice.nats.jetstream import ConsumerSpec, JetStream, OutgoingMessage, StreamSpec, give_back
from sluice.runtime.settings import ServiceSettings
from tests.metrics import counted
from tests.processor.harness import Harness, event
from tests.waiting import until

ACK_WAIT_SECONDS = 1.0
MESSAGE = OutgoingMessage("stripe.test.platform.charge.succeeded", "evt_1:1", b"x", {})


@asynccontextmanager
async def opened(nats_url: str, *, ack_wait_seconds: float) -> AsyncIterator[JetStream]:
    """A stream and its consumer."""
    settings = ServiceSettings(database_url=SecretStr("postgresql://db/x"), nats_url=SecretStr(nats_url))
    stream = StreamSpec("STRIPE", ["stripe.>"], max_bytes=64 * 1024 * 1024)
    consumer = ConsumerSpec("processor", ack_wait_seconds=ack_wait_seconds)
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(settings, name="test", group=group, stream=stream, consumer=consumer) as client,
    ):
        async with asyncio.timeout(30):
            await client.wait_connected()
        yield client


async def test_a_message_that_is_worked_on_does_not_come_again(harness: Harness, nats_url: str) -> None:
    """However often ack_wait passes; once no loop works on it any more it does."""
    leases = Leases(Direct(harness.database), ACK_WAIT_SECONDS)
    async with opened(nats_url, ack_wait_seconds=ACK_WAIT_SECONDS) as stream, asyncio.TaskGroup() as group:
        await stream.publish(MESSAGE)
        messages = await stream.fetch(10, within_seconds=10)
        keeper = group.create_task(leases.run())
        with leases.holding(messages):
            assert await stream.fetch(10, within_seconds=4 * ACK_WAIT_SECONDS) == []
        again = await stream.fetch(10, within_seconds=30)
        keeper.cancel()
    assert [message.deliveries for message in (*messages, *again)] == [1, 2]


async def test_a_suspect_whose_process_dies_comes_again_long_before_ack_wait(harness: Harness, nats_url: str) -> None:
    """Another one may have killed it; while the process lives it is delivered nowhere else."""
    leases = Leases(Direct(harness.database), ack_wait_seconds=300)
    async with opened(nats_url, ack_wait_seconds=300) as stream, asyncio.TaskGroup() as group:
        await stream.publish(MESSAGE)
        give_back(await stream.fetch(10, within_seconds=10), after_seconds=0.1)
        suspects = await stream.fetch(10, within_seconds=30)
        keeper = group.create_task(leases.run())
        kept = leases.keep(suspects)
        assert await stream.fetch(10, within_seconds=4) == []
        keeper.cancel()  # the process dies, and says nothing more
        again = await stream.fetch(10, within_seconds=60)
        leases.let_go(kept)
    assert [message.deliveries for message in (*suspects, *again)] == [2, 3]


async def test_a_turn_keeps_few_suspects_in_hand(harness: Harness) -> None:
    """The others go to the next processor that asks: this process may die of any of them."""
    messages = [message.again() for message in await harness.recorded(*(event() for _ in range(25)))]
    await harness.take(*messages)
    assert sum(message.is_acknowledged for message in messages) == 20
    assert [message.words for message in messages if not message.is_acknowledged] == [
        [b'-NAK {"delay": 100000000}']
    ] * 5


async def test_what_is_given_back_comes_before_it_would_from_the_dead(nats_url: str) -> None:
    """After the time that was said, not after ack_wait."""
    async with opened(nats_url, ack_wait_seconds=300) as stream:
        await stream.publish(MESSAGE)
        give_back(await stream.fetch(10, within_seconds=10), after_seconds=0.1)
        assert [message.deliveries for message in await stream.fetch(10, within_seconds=60)] == [2]


async def test_a_turn_gives_back_what_it_has_no_time_for(harness: Harness) -> None:
    """The rest of a fetch whose first part took too long, and nothing of what is done."""
    harness.hold_seconds = 0
    done, rest = await harness.recorded(event(), event())
    left = rest.again()
    await harness.take(done, left)
    assert (done.is_acknowledged, done.words) == (True, [])
    assert (left.is_acknowledged, left.words) == (False, [b'-NAK {"delay": 1000000000}'])


async def test_an_outage_is_waited_out_with_the_messages_in_hand(
    own_postgres: PostgresServer, own_harness: Harness
) -> None:
    """Given back, each would come again as a suspect, and PostgreSQL is away for every processor."""
    own_harness.hold_seconds = 0.1  # less than it takes to start PostgreSQL
    messages = await own_harness.recorded(*(event() for _ in range(5)))
    await own_postgres.stop()
    working = asyncio.create_task(own_harness.take(*messages))
    await until(lambda: counted("processor_outage") == 1)
    await own_postgres.restart()
    async with asyncio.timeout(60):
        await working
    assert all(message.is_acknowledged and not message.words for message in messages)
