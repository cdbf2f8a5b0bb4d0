"""JetStream's management interface: JSON over requests, so that fields which a client library does not know survive."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import orjson

from sluice.failures import StreamUnavailable
from sluice.nats.types import ConsumerProgress, ConsumerSpec, ConsumerState, StreamSpec
from sluice.runtime import logs

Ask: TypeAlias = Callable[[str, bytes], Awaitable[bytes]]  # subject, payload -> payload of the answer
Json: TypeAlias = dict[str, Any]

_NANOSECONDS = 1_000_000_000
_NOT_FOUND = 404


class ApiRefused(StreamUnavailable):
    """JetStream refused a request."""

    def __init__(self, subject: str, error: Mapping[str, object]) -> None:
        super().__init__(f"{subject}: {error.get('description')} ({error.get('err_code')})")
        self.status = error.get("code")


def is_stored(answer: bytes) -> bool:
    """
    Whether JetStream's answer to a message says that it was stored now; False: it had one with its id already.

    Raises:
        StreamUnavailable: JetStream refused it; or the words are not JetStream's, for any subscriber may answer too.
    """
    try:
        said = orjson.loads(answer)
    except orjson.JSONDecodeError:
        said = None
    match said:
        case {"error": {"description": description, "err_code": code}}:
            raise StreamUnavailable(f"JetStream refused: {description} ({code})")
        case {"stream": str(), "seq": int()}:
            return not said.get("duplicate", False)
        case _:
            raise StreamUnavailable("another client answered in JetStream's stead")


async def ensure_consumer(ask: Ask, stream: str, spec: ConsumerSpec) -> None:
    """Create the consumer, at new messages, or change what we own of it to what the spec says."""
    wanted = consumer_config(spec)
    create = f"CONSUMER.CREATE.{stream}.{spec.durable}"
    try:
        present = await call(ask, f"CONSUMER.INFO.{stream}.{spec.durable}", {})
    except ApiRefused as error:
        if error.status != _NOT_FOUND:
            raise
        config = wanted | {"deliver_policy": "new"}
        await call(ask, create, {"stream_name": stream, "config": config, "action": "create"})
        logs.get_logger().info("consumer_created", stream=stream, consumer=spec.durable)
        return
    if changed := difference(wanted, present["config"]):
        config = {name: value for name, value in present["config"].items() if name != "backoff"} | wanted
        await _update(ask, create, {"stream_name": stream, "config": config, "action": "update"}, changed)


async def consumer_progress(ask: Ask, stream: str, durable: str) -> ConsumerProgress:
    """
    How far a consumer is, in one request.

    Raises:
        StreamUnavailable: there is no such consumer, or no answer.
    """
    info = await call(ask, f"CONSUMER.INFO.{stream}.{durable}", {})
    return ConsumerProgress(
        delivered=info["delivered"]["consumer_seq"],
        acknowledged=info["ack_floor"]["consumer_seq"],
        pending=info["num_pending"],
        ack_pending=info["num_ack_pending"],
    )


async def consumer_state(ask: Ask, stream: str, durable: str, *, with_ack_floor: bool) -> ConsumerState:
    """
    How far a consumer is.

    Args:
        with_ack_floor: read the message at its ack floor, to tell when that was stored.

    Raises:
        StreamUnavailable: there is no such consumer, or no answer.
    """
    info = await call(ask, f"CONSUMER.INFO.{stream}.{durable}", {})
    return ConsumerState(
        pending=info["num_pending"],
        ack_pending=info["num_ack_pending"],
        ack_floor_stored_at=await _stored_at(ask, stream, info["ack_floor"]["stream_seq"] if with_ack_floor else 0),
    )


async def _stored_at(ask: Ask, stream: str, sequence: int) -> datetime | None:
    if not sequence:
        return None
    try:
        answer = await call(ask, f"STREAM.MSG.GET.{stream}", {"seq": sequence})
    except ApiRefused as error:
        if error.status != _NOT_FOUND:
            raise
        return None
    return datetime.fromisoformat(answer["message"]["time"])


async def _update(ask: Ask, subject: str, request: Json, changed: list[str]) -> None:
    """Change what may be changed; what the server refuses to change is said aloud and left as it is."""
    try:
        await call(ask, subject, request)
    except ApiRefused as error:
        logs.get_logger().error("stream_configuration_differs", fields=changed, reason=str(error))
        return
    logs.get_logger().info("stream_configuration_updated", subject=subject, fields=changed)


async def call(ask: Ask, subject: str, request: Json) -> Json:
    """
    Make one request of JetStream's management interface.

    Raises:
        ApiRefused: it said no.
        StreamUnavailable: it said nothing.
    """
    answer: Json = orjson.loads(await ask(f"$JS.API.{subject}", orjson.dumps(request) if request else b""))
    if error := answer.get("error"):
        raise ApiRefused(subject, error)
    return answer


def difference(wanted: Json, present: Json) -> list[str]:
    """The names of the fields that are not as wanted."""
    changed = [name for name, value in wanted.items() if present.get(name) != value]
    return changed + (["backoff"] if present.get("backoff") else [])


def stream_config(spec: StreamSpec) -> Json:
    """The part of a stream's configuration that is ours, in JetStream's words."""
    config: Json = {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": int(spec.max_age_seconds * _NANOSECONDS),
        "max_bytes": spec.max_bytes,
        "duplicate_window": int(spec.duplicate_window_seconds * _NANOSECONDS),
    }
    return config if spec.replicas is None else config | {"num_replicas": spec.replicas}


def consumer_config(spec: ConsumerSpec) -> Json:
    """The part of a consumer's configuration that is ours, in JetStream's words."""
    return {
        "name": spec.durable,
        "durable_name": spec.durable,
        "ack_policy": "explicit",
        "ack_wait": int(spec.ack_wait_seconds * _NANOSECONDS),
        "max_deliver": -1,
        "max_ack_pending": spec.max_ack_pending,
    }
