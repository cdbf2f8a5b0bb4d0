"""A ``StripeEvent`` as a message on the stream: protobuf bytes and headers, there and back."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from google.protobuf.message import DecodeError

from sluice.contract.event import StripeEvent
from sluice.contract.v1.event_pb2 import WebhookEvent
from sluice.failures import UnknownContractVersion

CONTENT_TYPE = "application/protobuf; type=sluice.contract.v1.WebhookEvent"
SOURCE = "/sluice"


class Envelope(NamedTuple):
    """One message: the event, and which attempt at it this is."""

    event: StripeEvent
    attempt: int
    """``processing_attempts`` of the row when this was published."""

    @property
    def is_by_reference(self) -> bool:
        """Whether the body stayed in PostgreSQL because it exceeds what NATS carries."""
        return not self.event.body

    def by_reference(self) -> "Envelope":
        """The same message without its body."""
        return Envelope(event=replace(self.event, body=b""), attempt=self.attempt)


def encode(envelope: Envelope) -> bytes:
    """The bytes of the protobuf message ``sluice.contract.v1.WebhookEvent``."""
    event = envelope.event
    message = WebhookEvent(
        stripe_event_id=event.stripe_event_id,
        type=event.type,
        created_seconds=event.created,
        livemode=event.livemode,
        account=event.account,
        api_version=event.api_version,
        object_id=event.object_id,
        tenant=event.tenant,
        body=event.body,
        attempt=envelope.attempt,
    )
    return message.SerializeToString()


def decode(message_bytes: bytes) -> Envelope:
    """
    Read a message of the stream.

    Raises:
        UnknownContractVersion: these are not the bytes of a WebhookEvent with an id and a type.
    """
    try:
        message = WebhookEvent.FromString(message_bytes)
    except DecodeError as error:
        raise UnknownContractVersion from error
    if not message.stripe_event_id or not message.type:
        raise UnknownContractVersion
    event = StripeEvent(
        stripe_event_id=message.stripe_event_id,
        type=message.type,
        created=message.created_seconds,
        livemode=message.livemode,
        account=message.account if message.HasField("account") else None,
        api_version=message.api_version if message.HasField("api_version") else None,
        object_id=message.object_id if message.HasField("object_id") else None,
        tenant=message.tenant if message.HasField("tenant") else None,
        body=message.body,
    )
    return Envelope(event=event, attempt=message.attempt)


def cloudevents_headers(event: StripeEvent) -> Mapping[str, str]:
    """
    CloudEvents attributes in NATS's binary mode.

    ``ce-source`` is ``/sluice``, or ``/sluice/tenant/{events.id}`` for what came through an organiser's URL.

    Source: https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md
    """
    return {
        "ce-specversion": "1.0",
        "ce-id": event.stripe_event_id,
        "ce-source": SOURCE if event.tenant is None else f"{SOURCE}/tenant/{quote(event.tenant, safe='')}",
        "ce-type": f"com.stripe.{event.type}",
        "ce-time": _rfc3339(event.created),
        "content-type": CONTENT_TYPE,
    }


@lru_cache(maxsize=1024)
def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
