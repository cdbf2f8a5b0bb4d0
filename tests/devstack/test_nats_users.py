"""Three users of NATS, each with what its service calls; none reads another's answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from pydantic import SecretStr

from devstack.nats import NatsServer
from devstack.nats_users import SERVICES
from processor.assembly import _STREAM as PROCESSORS
from sluice.contract.subjects import ALL_SUBJECTS, CONSUMER, STREAM
from sluice.nats.jetstream import ConsumerSpec, JetStream, OutgoingMessage, StreamSpec
from sluice.runtime.settings import ServiceSettings
from tests.waiting import until

OURS = StreamSpec(STREAM, (ALL_SUBJECTS,), max_bytes=64 * 1024**2)
WATCHED = StreamSpec(STREAM, (ALL_SUBJECTS,), is_ours=False)
MESSAGE = OutgoingMessage("stripe.test.platform.a", "evt_1:1", b"{}", {})


@asynccontextmanager
async def service(server: NatsServer, name: str) -> AsyncIterator[JetStream]:
    """The connection that a service opens, as its own user."""
    stream, consumer = {
        "ingest": (OURS, None),
        "processor": (PROCESSORS, ConsumerSpec(CONSUMER)),
        "healthd": (WATCHED, None),
    }[name]
    where = {"database_url": SecretStr("postgresql://nobody@127.0.0.1/x"), "nats_url": SecretStr(server.url_for(name))}
    settings = ServiceSettings.model_validate(where)
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(settings, name=name, group=group, stream=stream, consumer=consumer) as jetstream,
    ):
        yield jetstream


async def test_each_service_can_do_its_work(nats_server: NatsServer) -> None:
    """The stream is made, a message goes through, and all see how far the consumer is; also after a lost store."""
    async with (
        asyncio.timeout(60),
        service(nats_server, "ingest") as ingest,
        service(nats_server, "processor") as processor,
        service(nats_server, "healthd") as healthd,
    ):
        for number in range(2):
            await _goes_through(ingest, processor, f"evt_{number}:1")
            assert (await ingest.consumer_state(CONSUMER)).ack_floor_stored_at is not None
            state = await healthd.consumer_state(CONSUMER, with_ack_floor=False)
            assert (state.pending, state.ack_pending) == (0, 0)
            await nats_server.wipe()
            await nats_server.restart()


async def _goes_through(ingest: JetStream, processor: JetStream, message_id: str) -> None:
    await until(lambda: ingest.is_connected and processor.is_connected, within_seconds=30)
    assert await ingest.publish(MESSAGE._replace(message_id=message_id))
    [message] = await processor.fetch(1, within_seconds=10)
    message.ack()

    async def is_acknowledged() -> bool:
        return (await ingest.consumer_state(CONSUMER)).ack_pending == 0

    await until(is_acknowledged)


FORBIDDEN_TO_PUBLISH: Mapping[str, list[str]] = {
    "ingest": [
        "$JS.API.CONSUMER.MSG.NEXT.STRIPE.processor",
        "$JS.ACK.STRIPE.processor.1.1.1.1.0",
        "$JS.API.CONSUMER.CREATE.STRIPE.processor",
        "$JS.API.CONSUMER.CREATE.STRIPE.spy",
        "$JS.API.CONSUMER.DURABLE.CREATE.STRIPE.spy",
        "$JS.API.CONSUMER.DELETE.STRIPE.processor",
        "$JS.API.STREAM.DELETE.OTHERS",
        "$JS.API.STREAM.PURGE.STRIPE",
    ],
    "processor": [
        "$JS.API.STREAM.DELETE.STRIPE",
        "stripe.live.platform.charge.succeeded",
        "stripe.live.tenant_7.charge.succeeded",
        "$JS.API.STREAM.CREATE.STRIPE",
        "$JS.API.STREAM.UPDATE.STRIPE",
        "$JS.API.STREAM.MSG.DELETE.STRIPE",
        "$JS.API.CONSUMER.CREATE.STRIPE.spy",
        "$JS.ACK.STRIPE.spy.1.1.1.1.0",
    ],
    "healthd": [
        "stripe.live.platform.charge.succeeded",
        "$JS.API.CONSUMER.MSG.NEXT.STRIPE.processor",
        "$JS.ACK.STRIPE.processor.1.1.1.1.0",
        "$JS.API.STREAM.MSG.GET.STRIPE",
        "$JS.API.DIRECT.GET.STRIPE",
        "$JS.API.CONSUMER.CREATE.STRIPE.processor",
        "$JS.API.STREAM.UPDATE.STRIPE",
    ],
}
BY_ALL = ["_INBOX.x", "_INBOX_ingest.x", "_INBOX_processor.x", "_INBOX_healthd.x", "$SYS.REQ.SERVER.PING", "other"]


@pytest.mark.parametrize(
    ("user", "subject"), [(user, subject) for user in SERVICES for subject in [*FORBIDDEN_TO_PUBLISH[user], *BY_ALL]]
)
async def test_what_is_not_a_services_work_is_refused(nats_server: NatsServer, user: str, subject: str) -> None:
    """Each has what it calls; so ingest cannot consume, the processor cannot publish, healthd can do neither."""
    async with _person(nats_server, user) as (client, refusals):
        await client.publish(subject, b"{}")
        await client.flush(5)
        await until(lambda: any("permissions violation for publish" in refusal.lower() for refusal in refusals))


@pytest.mark.parametrize("user", SERVICES)
async def test_no_user_reads_anothers_messages(nats_server: NatsServer, user: str) -> None:
    """Neither webhooks as they are published, nor the answers to another service."""
    others = [f"_INBOX_{name}.>" for name in SERVICES if name != user]
    for subject in ("stripe.>", "stripe.live.platform.a", ">", "_INBOX.>", "$JS.API.>", "$JS.ACK.>", *others):
        async with _person(nats_server, user) as (client, refusals):
            await client.subscribe(subject)
            await client.flush(5)
            await until(lambda said=refusals: any("subscription" in one.lower() for one in said))  # type: ignore[misc]


async def test_a_person_may_do_everything(nats_server: NatsServer) -> None:
    """The address in stack.env opens the stream to a person."""
    async with _person(nats_server, "sluice") as (client, refusals):
        stream = client.jetstream()
        await stream.add_stream(name="MINE", subjects=["mine.>"])
        await stream.publish("mine.a", b"{}")
        assert refusals == []


@asynccontextmanager
async def _person(server: NatsServer, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client of nats-py's with a user's password, and what the server refused it."""
    refusals: list[str] = []

    async def note(error: Exception) -> None:
        refusals.append(str(error))

    prefix = "_INBOX" if user == "sluice" else f"_INBOX_{user}"
    client = await nats.connect(server.url_for(user), error_cb=note, inbox_prefix=prefix, allow_reconnect=False)
    try:
        yield client, refusals
    finally:
        await client.close()


def test_the_passwords_are_in_a_private_file_alone(nats_server: NatsServer) -> None:
    """And each user has one of its own."""
    path = nats_server.folder / "nats.conf"
    assert path.stat().st_mode & 0o077 == 0
    users = json.loads(path.read_text())["authorization"]["users"]
    assert {user["user"] for user in users} == {"sluice", *SERVICES}
    assert len({user["password"] for user in users}) == len(users)
