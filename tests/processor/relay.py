"""A relay by hand, for tests that run a whole processor."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from sluice.contract import codec
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import ALL_SUBJECTS, CONSUMER, STREAM, message_id, subject_for
from sluice.failures import StreamUnavailable
from sluice.nats.jetstream import JetStream, OutgoingMessage, StreamSpec
from sluice.runtime.settings import ServiceSettings


@dataclass(frozen=True)
class HandRelay:
    """Publishes events, and knows how far the processor is."""

    stream: JetStream

    async def publish(self, *events: StripeEvent, publication: int = 1, attempt: int = 0) -> None:
        """One message for each event."""
        for each in events:
            message = OutgoingMessage(
                subject_for(each),
                message_id(each, publication=publication),
                codec.encode(_travelling(codec.Envelope(each, attempt))),
                codec.cloudevents_headers(each),
            )
            assert await self.stream.publish(message)

    async def has_consumer(self) -> bool:
        """Whether a processor made its consumer; one created anew starts at new messages."""
        try:
            await self.stream.consumer_state(CONSUMER)
        except StreamUnavailable:
            return False
        return True

    async def stream_is_back(self) -> bool:
        """Whether this connection reaches it."""
        return self.stream.is_connected

    async def is_all_acknowledged(self) -> bool:
        """Whether the consumer owes nothing."""
        state = await self.stream.consumer_state(CONSUMER)
        return state.pending == 0 and state.ack_pending == 0


def _travelling(envelope: codec.Envelope) -> codec.Envelope:
    """Without a body that NATS does not take, as ingest sends it."""
    return envelope.by_reference() if len(envelope.event.body) > 1_000_000 else envelope


@asynccontextmanager
async def open_relay(database_url: str, nats_url: str) -> AsyncIterator[HandRelay]:
    """A connected relay; the stream is there when this is entered."""
    settings = ServiceSettings(database_url=SecretStr(database_url), nats_url=SecretStr(nats_url))
    spec = StreamSpec(name=STREAM, subjects=(ALL_SUBJECTS,))
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(settings, name="test", group=group, stream=spec, consumer=None) as stream,
    ):
        async with asyncio.timeout(10):
            await stream.wait_connected()
        yield HandRelay(stream)
