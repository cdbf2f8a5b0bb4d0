"""Makes sure of a stream and its consumer: creates them, changes them, and makes a stream anew that is frozen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sluice.nats.management import (
    ApiRefused,
    Ask,
    Json,
    call,
    difference,
    ensure_consumer,
    stream_config,
)
from sluice.nats.types import ConsumerSpec, StreamSpec
from sluice.runtime import logs, metrics

_NOT_FOUND = 404
_LEAST_BYTES = 8 * 1024**2
_OUR_CONSUMERS = 1
_YOUNG_SECONDS = 10.0
SETTINGS = {"max_bytes": "STREAM_MAX_BYTES", "max_age": "STREAM_MAX_AGE", "num_replicas": "STREAM_REPLICAS"}
"""The settings behind the fields that a server may refuse."""

_REFUSED = metrics.gauge(
    "nats_stream_setting_refused", "1 for a setting of the stream that the server refuses.", ("setting",)
)
_REMADE = metrics.counter("nats_streams_remade_total", "Streams that took no messages and were made anew.")


@dataclass
class Upkeep:
    """One stream, and maybe one consumer of it."""

    stream: StreamSpec
    consumer: ConsumerSpec | None
    refused: Mapping[str, str] = field(default_factory=dict)
    """Settings that the server refuses, and its words."""

    async def ensure(self, ask: Ask) -> None:
        """
        Create what is not there, and change what differs; what the server refuses to change stays and is said.

        Raises:
            StreamUnavailable: stream or consumer is not there.
        """
        if self.stream.is_ours:
            self._note(await _ensure_stream(ask, self.stream))
        if self.consumer is not None:
            await ensure_consumer(ask, self.stream.name, self.consumer)

    async def remake(self, ask: Ask) -> bool:
        """
        Delete the stream and create it; whether that was done: only a stream of ours that only the processor reads.

        PostgreSQL has everything that was in it.

        Raises:
            StreamUnavailable: the stream is gone, or could not be deleted.
        """
        present = await call(ask, f"STREAM.INFO.{self.stream.name}", {})
        has_leader = bool(present.get("cluster", {"leader": "it"}).get("leader"))
        readers = present["state"]["consumer_count"]
        if _age_seconds(present) < _YOUNG_SECONDS:
            return False  # another process was quicker
        if not self.stream.is_ours or not has_leader or readers > _OUR_CONSUMERS:
            logs.get_logger().error("stream_frozen", stream=self.stream.name, consumers=readers, has_leader=has_leader)
            return False
        logs.get_logger().error("stream_remade", stream=self.stream.name, messages=present["state"]["messages"])
        _REMADE.inc()
        await call(ask, f"STREAM.DELETE.{self.stream.name}", {})
        await self.ensure(ask)
        return True

    def _note(self, refused: Mapping[str, str]) -> None:
        if refused != self.refused:
            for name, reason in refused.items():
                logs.get_logger().error("stream_setting_refused", setting=name, reason=reason)
            _REFUSED.clear()
            for name in refused:
                _REFUSED.labels(name).set(1)
        self.refused = refused


async def _ensure_stream(ask: Ask, spec: StreamSpec) -> Mapping[str, str]:
    """Which settings the server refuses, and why."""
    wanted = stream_config(spec)
    try:
        present = await call(ask, f"STREAM.INFO.{spec.name}", {})
    except ApiRefused as error:
        if error.status != _NOT_FOUND:
            raise
        present = await _create(ask, spec.name, wanted)
    return await _change(ask, spec.name, present["config"], wanted)


async def _create(ask: Ask, name: str, wanted: Json) -> Json:
    """As wanted; else on as many servers and with as many bytes as there are."""
    *attempts, last = _modest(wanted)
    for config in attempts:
        try:
            return await _create_so(ask, name, config)
        except ApiRefused as error:
            logs.get_logger().warning("stream_not_created", max_bytes=config["max_bytes"], reason=str(error))
    return await _create_so(ask, name, last)


async def _create_so(ask: Ask, name: str, config: Json) -> Json:
    created = await call(ask, f"STREAM.CREATE.{name}", config)
    logs.get_logger().info("stream_created", stream=name, max_bytes=config["max_bytes"])
    return created


def _modest(wanted: Json) -> Sequence[Json]:
    """Requests to try, one after the other; a server reserves the bytes on its disk."""
    configs = [wanted]
    if "num_replicas" in wanted:
        configs.append({name: value for name, value in wanted.items() if name != "num_replicas"})
    while configs[-1]["max_bytes"] // 2 >= _LEAST_BYTES:
        configs.append(configs[-1] | {"max_bytes": configs[-1]["max_bytes"] // 2})
    return configs


async def _change(ask: Ask, name: str, present: Json, wanted: Json) -> Mapping[str, str]:
    """Everything at once; where that is refused each field by itself, so that one does not stand in another's way."""
    changed = difference(wanted, present)
    if not changed:
        return {}
    refusal = await _update(ask, name, present | wanted)
    if refusal is None:
        logs.get_logger().info("stream_configuration_updated", stream=name, fields=changed)
        return {}
    if len(changed) == 1:
        return {_setting(changed[0]): refusal}
    refused: dict[str, str] = {}
    for field_name in changed:
        reason = await _update(ask, name, present | {field_name: wanted[field_name]})
        if reason is None:
            present = present | {field_name: wanted[field_name]}
        else:
            refused[_setting(field_name)] = reason
    return refused


async def _update(ask: Ask, name: str, config: Json) -> str | None:
    """Why the server refused; None: it did not."""
    try:
        await call(ask, f"STREAM.UPDATE.{name}", config)
    except ApiRefused as error:
        return str(error)
    return None


def _age_seconds(present: Json) -> float:
    """By the server's own clock; infinite, where an old server does not say what time it is."""
    if "ts" not in present:
        return math.inf
    created, asked = (datetime.fromisoformat(present[name]) for name in ("created", "ts"))
    return (asked - created).total_seconds()


def _setting(field_name: str) -> str:
    return SETTINGS.get(field_name, field_name)
