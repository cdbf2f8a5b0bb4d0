"""The suite that every broker passes, on a real server, by each implementation in turn."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeAlias, get_args
from urllib.parse import urlsplit

import nats
import orjson
import pytest
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, StreamConfig

from devstack.nats import NatsServer
from sluice.failures import StreamUnavailable
from sluice.nats.broker import Broker
from sluice.nats.jetstream import ConsumerSpec, JetStream, OutgoingMessage, StreamSpec, _parse_reply
from sluice.runtime.settings import NatsClient, ServiceSettings
from tests.waiting import until
from tests.wire import Wire

STREAM = StreamSpec("STRIPE", ["stripe.>"], max_bytes=64 * 1024 * 1024)
CONSUMER = ConsumerSpec("processor")
_MILLISECOND = timedelta(milliseconds=1)


Open: TypeAlias = Callable[..., AbstractAsyncContextManager[Broker]]


@pytest.fixture(params=get_args(NatsClient))
def opened(request: pytest.FixtureRequest) -> Open:
    """Opens a broker by each implementation in turn."""
    return partial(_opened, request.param)


@asynccontextmanager
async def _opened(
    client: NatsClient,
    url: str,
    *,
    stream: StreamSpec = STREAM,
    consumer: ConsumerSpec | None = CONSUMER,
    wait: bool = True,
) -> AsyncIterator[Broker]:
    where = {"database_url": "postgresql://db/x", "nats_url": url, "nats_client": client}
    settings = ServiceSettings.model_validate(where)
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(settings, name="test", group=group, stream=stream, consumer=consumer) as broker,
    ):
        if wait:
            await _connected(broker)
        yield broker


async def _connected(broker: Broker, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        await broker.wait_connected()


def _message(number: int, payload: bytes = b"x") -> OutgoingMessage:
    return OutgoingMessage("stripe.test.platform.charge.succeeded", f"evt_{number}:1", payload, {"ce-id": f"{number}"})


@asynccontextmanager
async def _operator(url: str) -> AsyncIterator[nats.js.JetStreamContext]:
    """An operator with a client of their own."""
    client = await nats.connect(url)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def _fetch_waits(operator: nats.js.JetStreamContext) -> bool:
    """Whether the server knows of a fetch that waits for messages."""
    return bool((await operator.consumer_info("STRIPE", "processor")).num_waiting == 1)


async def _all_acknowledged(broker: Broker) -> bool:
    return (await broker.consumer_state("processor")).ack_pending == 0


async def test_a_message_arrives_with_all_that_was_said(opened: Open, nats_url: str) -> None:
    """Payload, headers, first delivery, sequence and the time of storage."""
    async with opened(nats_url) as broker:
        before = datetime.now(UTC)
        assert await broker.publish(_message(1, b"\x00body")) is True
        (message,) = await broker.fetch(10, within_seconds=2)
        assert (message.payload, message.deliveries, message.sequence) == (b"\x00body", 1, 1)
        assert message.headers["ce-id"] == "1"
        assert message.headers["Nats-Expected-Stream"] == "STRIPE"
        assert abs((message.stored_at - before).total_seconds()) < 2


async def test_the_same_message_id_is_a_duplicate(opened: Open, nats_url: str) -> None:
    """A duplicate stores nothing and says so."""
    async with opened(nats_url) as broker:
        assert await broker.publish(_message(1)) is True
        assert await broker.publish(_message(1)) is False
        assert len(await broker.fetch(10, within_seconds=0.5)) == 1


async def test_what_is_there_is_given_at_once_not_when_the_batch_is_full(opened: Open, nats_url: str) -> None:
    """A fetch returns with the first messages; an idle one returns empty in its time."""
    async with opened(nats_url) as broker:
        for number in range(3):
            await broker.publish(_message(number))
        started = time.monotonic()
        assert len(await broker.fetch(10, within_seconds=5)) == 3
        assert time.monotonic() - started < 1
        started = time.monotonic()
        assert await broker.fetch(10, within_seconds=0.3) == []
        assert 0.25 < time.monotonic() - started < 1


async def test_a_fetch_that_waits_is_woken_by_a_message(opened: Open, nats_url: str) -> None:
    """A waiting consumer is woken."""
    async with opened(nats_url) as broker, _operator(nats_url) as operator:
        waiting = asyncio.create_task(broker.fetch(10, within_seconds=5))
        await until(lambda: _fetch_waits(operator))
        started = time.monotonic()
        await broker.publish(_message(1))
        assert len(await waiting) == 1
        assert time.monotonic() - started < 1


async def test_messages_of_a_cancelled_fetch_come_with_the_next(opened: Open, nats_url: str) -> None:
    """They do not wait for ack_wait to pass."""
    async with opened(nats_url) as broker, _operator(nats_url) as operator:
        waiting = asyncio.create_task(broker.fetch(5, within_seconds=5))
        await until(lambda: _fetch_waits(operator))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        for number in range(3):
            await broker.publish(_message(number))
        got = 0
        async with asyncio.timeout(3):
            while got < 3:
                got += len(await broker.fetch(10, within_seconds=1))


async def test_an_unacknowledged_message_comes_again_and_counts(opened: Open, nats_url: str) -> None:
    """Deliveries tell a first try from a later one; an acknowledged message stays away."""
    consumer = ConsumerSpec("processor", ack_wait_seconds=0.3)
    async with opened(nats_url, consumer=consumer) as broker:
        await broker.publish(_message(1))
        (first,) = await broker.fetch(1, within_seconds=2)
        (again,) = await broker.fetch(1, within_seconds=2)
        assert (first.deliveries, again.deliveries, again.sequence) == (1, 2, first.sequence)
        again.ack()
        assert await broker.fetch(1, within_seconds=0.7) == []


async def test_the_state_of_a_consumer_says_how_far_it_is(opened: Open, nats_url: str) -> None:
    """Pending, delivered and not acknowledged, and when the newest wholly acknowledged message was stored."""
    async with opened(nats_url) as broker:
        for number in range(3):
            await broker.publish(_message(number))

        async def pending() -> bool:
            state = await broker.consumer_state("processor")
            return (state.pending, state.ack_pending, state.ack_floor_stored_at) == (3, 0, None)

        await until(pending)  # the server counts behind the publication's answer
        messages = await broker.fetch(2, within_seconds=2)
        for message in messages:
            message.ack()

        async def acknowledged() -> bool:
            state = await broker.consumer_state("processor")
            return (state.pending, state.ack_pending) == (1, 0)

        await until(acknowledged)
        assert (await broker.consumer_state("processor")).ack_floor_stored_at == pytest.approx(
            messages[-1].stored_at, abs=_MILLISECOND
        )
        with pytest.raises(StreamUnavailable):
            await broker.consumer_state("nobody")


async def test_stream_and_consumer_are_as_the_design_wants_them(opened: Open, nats_url: str) -> None:
    """On disk, oldest out first, deliveries without end, no backoff of the server's own."""
    async with opened(nats_url), _operator(nats_url) as operator:
        stream = (await operator.stream_info("STRIPE")).config
        assert (stream.storage, stream.retention, stream.discard) == ("file", "limits", "old")
        assert (stream.max_age, stream.duplicate_window, stream.max_bytes) == (72 * 3600, 120, 64 * 1024 * 1024)
        consumer = (await operator.consumer_info("STRIPE", "processor")).config
        assert (consumer.durable_name, consumer.ack_policy, consumer.deliver_policy) == ("processor", "explicit", "new")
        assert (consumer.max_deliver, consumer.ack_wait, consumer.backoff) == (-1, 30, None)


async def test_what_differs_from_our_configuration_is_changed_and_the_rest_left(opened: Open, nats_url: str) -> None:
    """An operator's description survives; limits that would lose events do not."""
    async with _operator(nats_url) as operator:
        await operator.add_stream(StreamConfig(name="STRIPE", subjects=["stripe.>"], description="ours", max_age=60))
        await operator.add_consumer(
            "STRIPE",
            ConsumerConfig(durable_name="processor", max_deliver=3, ack_wait=5, backoff=[1, 2, 3], description="c"),
        )
        async with opened(nats_url):
            stream = (await operator.stream_info("STRIPE")).config
            consumer = (await operator.consumer_info("STRIPE", "processor")).config
    assert (stream.max_age, stream.description) == (72 * 3600, "ours")
    assert (consumer.max_deliver, consumer.ack_wait, consumer.backoff) == (-1, 30, None)
    assert consumer.description == "c"


async def test_a_consumer_created_anew_starts_at_new_messages(opened: Open, nats_url: str) -> None:
    """The relay repairs what it missed; three days of processed events are not read again."""
    async with opened(nats_url, consumer=None) as broker:
        await broker.publish(_message(1))
    async with opened(nats_url) as broker:
        assert await broker.fetch(10, within_seconds=0.3) == []
        await broker.publish(_message(2))
        assert [message.headers["ce-id"] for message in await broker.fetch(10, within_seconds=2)] == ["2"]


async def test_a_stopped_server_is_unavailable_at_once_and_found_again(opened: Open, nats_server: NatsServer) -> None:
    """Nothing is buffered, nothing hangs, a fetch waits politely; after the start the same object works."""
    async with opened(nats_server.url) as broker:
        await nats_server.stop()
        async with asyncio.timeout(1):
            for _ in range(50):
                with pytest.raises(StreamUnavailable):
                    await broker.publish(_message(1))
        started = time.monotonic()
        assert await broker.fetch(1, within_seconds=0.3) == []
        assert time.monotonic() - started >= 0.29
        await nats_server.restart()
        await _connected(broker)
        assert broker.generation >= 2
        assert await broker.publish(_message(1)) is True
        assert len(await broker.fetch(1, within_seconds=2)) == 1


async def test_a_publish_under_way_fails_when_the_connection_does(opened: Open, nats_server: NatsServer) -> None:
    """It does not sit out its deadline."""
    async with opened(nats_server.url) as broker:
        tasks = [asyncio.create_task(broker.publish(_message(n), within_seconds=30)) for n in range(200)]
        await asyncio.sleep(0)
        nats_server.kill()
        async with asyncio.timeout(5):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is True or isinstance(result, StreamUnavailable) for result in results)


async def test_a_deleted_store_heals_by_itself_within_seconds(opened: Open, nats_server: NatsServer) -> None:
    """Stream and consumer are there again before the first publish after the reconnection."""
    async with opened(nats_server.url) as broker:
        await broker.publish(_message(1))
        await nats_server.wipe()
        await nats_server.restart()
        await until(lambda: _published(broker, 2))
        messages = await broker.fetch(10, within_seconds=3)
        assert [message.headers["ce-id"] for message in messages] == ["2"]


async def _published(broker: Broker, number: int) -> bool:
    try:
        return await broker.publish(_message(number))
    except StreamUnavailable:
        return False


@pytest.mark.parametrize("deleted", ["stream", "consumer"])
async def test_what_is_deleted_while_we_run_is_made_again(opened: Open, nats_url: str, deleted: str) -> None:
    """No answer, or a goodbye from the server, makes us look."""
    async with opened(nats_url) as broker, _operator(nats_url) as operator:
        waiting = asyncio.create_task(broker.fetch(1, within_seconds=4))
        await until(lambda: _fetch_waits(operator))
        if deleted == "stream":
            await operator.delete_stream("STRIPE")
        else:
            await operator.delete_consumer("STRIPE", "processor")
        await waiting
        numbers = iter(range(100))

        async def comes_through() -> bool:
            await _published(broker, next(numbers))
            return bool(await broker.fetch(10, within_seconds=0.2))

        await until(comes_through)
        assert broker.generation == 1


async def test_a_server_that_says_nothing_is_given_up(opened: Open, nats_server: NatsServer, wire: type[Wire]) -> None:
    """A dead host closes no connection: silence to a fetch and to a question is enough to make a new client."""
    parts = urlsplit(nats_server.url)
    assert parts.hostname
    assert parts.port
    async with (
        wire(parts.hostname, parts.port).open() as line,
        opened(nats_server.url.replace(f":{parts.port}", f":{line.port}")) as broker,
    ):
        line.cut()
        with pytest.raises(StreamUnavailable, match=r"no answer from NATS within 0\.2 s"):
            await broker.publish(_message(1), within_seconds=0.2)
        assert await broker.fetch(1, within_seconds=0.2) == []
        await until(lambda: not broker.is_connected)
        line.mend()
        await _connected(broker, 6)
        assert await broker.publish(_message(2)) is True


async def test_a_fetch_that_is_refused_at_once_still_takes_its_time(opened: Open, nats_url: str) -> None:
    """A loop around it must not spin while the consumer is being made again."""
    async with opened(nats_url) as broker, _operator(nats_url) as operator:
        await operator.delete_consumer("STRIPE", "processor")
        started = time.monotonic()
        assert await broker.fetch(1, within_seconds=0.3) == []
        assert time.monotonic() - started >= 0.29


async def test_a_publisher_alone_finds_a_deleted_stream_again(opened: Open, nats_url: str) -> None:
    """No consumer fetches here: the unanswered publication makes us look, long before the next regular look."""
    async with opened(nats_url, consumer=None) as broker, _operator(nats_url) as operator:
        await operator.delete_stream("STRIPE")
        await until(lambda: _published(broker, 1))


async def test_a_stream_that_is_not_ours_is_left_as_it_is(opened: Open, nats_url: str) -> None:
    """A connection that only watches creates nothing and changes nothing."""
    watched = StreamSpec("STRIPE", ["stripe.>"], is_ours=False)
    async with opened(nats_url, stream=watched, consumer=None) as broker, _operator(nats_url) as operator:
        assert await operator.streams_info() == []
        await operator.add_stream(StreamConfig(name="STRIPE", subjects=["stripe.>"], max_age=60))
        with pytest.raises(StreamUnavailable):
            await broker.consumer_state("processor")
        assert (await operator.stream_info("STRIPE")).config.max_age == 60


async def test_a_message_too_large_costs_no_connection(opened: Open, nats_url: str) -> None:
    """The server would end the connection of all; headers count too."""
    async with opened(nats_url) as broker:
        with pytest.raises(ValueError, match="evt_1:1"):
            await broker.publish(_message(1, b"x" * (broker.max_payload - 20)))
        assert await broker.publish(_message(2, b"x" * (broker.max_payload - 300))) is True
        assert broker.generation == 1


async def test_messages_sent_together_are_judged_one_by_one(opened: Open, nats_url: str) -> None:
    """One that is known, one that does not fit and one that JetStream refuses spoil nothing for their neighbours."""
    async with opened(nats_url) as broker:
        await broker.publish(_message(1))
        elsewhere = _message(4)._replace(subject="nobody.listens")
        too_large = _message(3, b"x" * broker.max_payload)
        outcomes = await broker.publish_many([_message(1), _message(2), too_large, elsewhere, _message(5)])
        assert [outcomes[0], outcomes[1], outcomes[4]] == [False, True, True]
        assert isinstance(outcomes[2], ValueError)
        assert isinstance(outcomes[3], StreamUnavailable)
        assert broker.generation == 1


@pytest.mark.parametrize("words", [b"ok", b"", b"1", b"[]", b"{}", b'{"error": "no"}', b'{"seq": "7"}', b"\xff"])
async def test_another_clients_answer_in_jetstreams_stead_is_not_believed(
    opened: Open, nats_url: str, words: bytes
) -> None:
    """A subscriber of another team that replies to each message neither ends the service nor passes for the store."""
    async with opened(nats_url) as broker:
        chatterbox = await nats.connect(nats_url)

        async def reply(message: Msg) -> None:
            await message.respond(words)

        await chatterbox.subscribe("elsewhere.>", cb=reply)
        await chatterbox.flush()
        with pytest.raises(StreamUnavailable):
            await broker.publish(_message(1)._replace(subject="elsewhere.than.the.stream"), within_seconds=2)
        await chatterbox.close()
        assert await broker.publish(_message(2)) is True


async def test_silence_ends_when_time_is_up_and_when_the_connection_is_lost(
    opened: Open, nats_server: NatsServer
) -> None:
    """No caller waits for an answer that cannot come any more, nor longer than its deadline."""
    async with opened(nats_server.url) as broker:
        listener = await nats.connect(nats_server.url, allow_reconnect=False)
        silent = await listener.subscribe("silent.>")
        await listener.flush()
        message = _message(1)._replace(subject="silent.here")
        async with asyncio.timeout(10):
            with pytest.raises(StreamUnavailable):
                await broker.publish(message, within_seconds=0.1)
            await silent.next_msg(timeout=5)
            waiting = asyncio.create_task(broker.publish(message, within_seconds=60))
            await silent.next_msg(timeout=5)
            await nats_server.stop()
            with pytest.raises(StreamUnavailable):
                await waiting


async def test_it_opens_without_a_server(opened: Open, make_settings: Callable[..., ServiceSettings]) -> None:
    """A service starts with NATS away, and ends as quickly."""
    async with asyncio.timeout(3), opened("nats://127.0.0.1:1", wait=False) as broker:
        assert broker.is_connected is False
        assert broker.status() == {
            "connected": False,
            "generation": 0,
            "refuses": False,
            "settings_refused": [],
        }
        with pytest.raises(StreamUnavailable):
            await broker.publish(_message(1))
        assert await broker.fetch(1, within_seconds=0.1) == []


@pytest.mark.parametrize("turns", range(20))
async def test_it_ends_at_any_moment_of_a_failing_connection(opened: Open, turns: int) -> None:
    """A stop may meet nats-py while it closes, where it swallows the cancellation; the end comes all the same."""
    async with asyncio.timeout(3), opened("nats://127.0.0.1:1", wait=False):
        for _ in range(turns):
            await asyncio.sleep(0)


async def test_an_ack_after_a_reconnection_still_counts(opened: Open, nats_server: NatsServer) -> None:
    """It goes out over whatever connection there is; over none, no error is raised."""
    async with opened(nats_server.url) as broker:
        await broker.publish(_message(1))
        (message,) = await broker.fetch(1, within_seconds=2)
        await nats_server.stop()
        message.ack()
        await nats_server.restart()
        await _connected(broker)
        assert (await broker.consumer_state("processor")).ack_pending == 1
        message.ack()
        await until(lambda: _all_acknowledged(broker))


async def test_the_end_is_quick_with_messages_still_buffered(opened: Open, nats_url: str) -> None:
    """Buffered messages, which nats-py's drain would wait for, are left to redelivery."""
    started = 0.0
    async with opened(nats_url) as broker, _operator(nats_url) as operator:
        waiting = asyncio.create_task(broker.fetch(100, within_seconds=5))
        await until(lambda: _fetch_waits(operator))
        waiting.cancel()
        for number in range(50):
            await broker.publish(_message(number))
        started = time.monotonic()
    assert time.monotonic() - started < 1.5


def test_both_forms_of_the_ack_subject_are_understood() -> None:
    """Servers from 2.15 on may say domain and account too."""
    old = "$JS.ACK.STRIPE.processor.2.7.9.1763899200123456789.0"
    new = "$JS.ACK.hub.ACCHASH.STRIPE.processor.2.7.9.1763899200123456789.0.rnd"
    assert _parse_reply(old) == _parse_reply(new) == (2, 7, 1_763_899_200_123_456_789)


async def test_what_nats_py_refuses_to_send_costs_the_public_connection_and_no_more(nats_url: str) -> None:
    """A header's name with a space in it: the publication fails at once, and the next connection takes the next one."""
    async with _opened("public", nats_url) as broker:
        async with asyncio.timeout(10):
            with pytest.raises(StreamUnavailable):
                await broker.publish(_message(1)._replace(headers={"two words": "x"}), within_seconds=60)
            await until(lambda: broker.generation == 2)
        assert await broker.publish(_message(2)) is True


@pytest.mark.parametrize(
    "client", ["fast", pytest.param("public", marks=pytest.mark.xfail(reason="nats-py's reader ends at it"))]
)
async def test_a_subject_that_is_no_text_stops_nothing(client: NatsClient, nats_url: str) -> None:
    """A publisher of the stream may choose any bytes; the message comes, and so does the next one."""
    async with _opened(client, nats_url) as broker:
        await _publish_raw(nats_url, b"stripe.\xff", b"odd")
        await broker.publish(_message(1))
        payloads: list[bytes] = []
        async with asyncio.timeout(3):
            while len(payloads) < 2:
                messages = await broker.fetch(10, within_seconds=1)
                payloads += [message.payload for message in messages]
        assert payloads == [b"odd", b"x"]


async def _publish_raw(url: str, subject: bytes, payload: bytes) -> None:
    """Publish past every client's checks."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    login = orjson.dumps({"verbose": False, "user": parts.username, "pass": parts.password})
    writer.write(b"CONNECT %b\r\nPUB %b %d\r\n%b\r\nPING\r\n" % (login, subject, len(payload), payload))
    try:
        async with asyncio.timeout(5):
            await reader.readuntil(b"PONG\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
