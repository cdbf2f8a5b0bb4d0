"""A stream is made as well as the server can, changed to what is wanted, and made anew when it is frozen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import nats
import pytest
from nats.js.api import ConsumerConfig, StreamConfig
from pydantic import SecretStr

from devstack.nats import NatsServer
from sluice.failures import StreamUnavailable
from sluice.nats import jetstream
from sluice.nats.jetstream import JetStream, OutgoingMessage, StreamSpec
from sluice.nats.publishing import Publishing
from sluice.nats.stream_settings import StreamSettings
from sluice.runtime.settings import ServiceSettings
from tests.full_disk import full_disk
from tests.nats_processes import nats_process
from tests.waiting import until

MEBIBYTE = 1024**2
STREAM = StreamSpec("STRIPE", ["stripe.>"], max_bytes=64 * MEBIBYTE)
_numbers = count(1)


@asynccontextmanager
async def opened(url: str, stream: StreamSpec) -> AsyncIterator[JetStream]:
    """A connection that makes sure of this stream."""
    settings = ServiceSettings(database_url=SecretStr("postgresql://db/x"), nats_url=SecretStr(url))
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(settings, name="test", group=group, stream=stream, consumer=None) as client,
    ):
        async with asyncio.timeout(30):
            await client.wait_connected()
        yield client


@asynccontextmanager
async def operator(url: str) -> AsyncIterator[nats.js.JetStreamContext]:
    """An operator with a client of their own."""
    client = await nats.connect(url)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def present(url: str) -> StreamConfig:
    """How the stream is."""
    async with operator(url) as somebody:
        return (await somebody.stream_info("STRIPE")).config


def message() -> OutgoingMessage:
    """A new one."""
    return OutgoingMessage("stripe.test.platform.charge.succeeded", f"evt_{next(_numbers)}:1", b"x" * 1000, {})


async def test_settings_are_applied_to_a_stream_that_exists(nats_url: str) -> None:
    """Its size and age are what they are set to from then on."""
    async with opened(nats_url, STREAM):
        pass
    async with opened(nats_url, replace(STREAM, max_bytes=32 * MEBIBYTE, max_age_seconds=3600)) as client:
        assert client.status()["settings_refused"] == []
    config = await present(nats_url)
    assert (config.max_bytes, config.max_age) == (32 * MEBIBYTE, 3600)


async def test_what_the_server_refuses_is_said_and_the_rest_applied(nats_url: str) -> None:
    """Three replicas want three servers; the new age does not wait for them, and messages are taken."""
    async with opened(nats_url, STREAM):
        pass
    async with opened(nats_url, replace(STREAM, replicas=3, max_age_seconds=3600)) as client:
        assert client.status()["settings_refused"] == ["STREAM_REPLICAS"]
        assert await client.publish(message())
    config = await present(nats_url)
    assert (config.num_replicas, config.max_age) == (1, 3600)


async def test_a_stream_is_made_without_the_replicas_that_there_are_no_servers_for(nats_url: str) -> None:
    """And says so."""
    async with opened(nats_url, replace(STREAM, replicas=3)) as client:
        assert client.status()["settings_refused"] == ["STREAM_REPLICAS"]
        assert await client.publish(message())


async def test_with_less_disk_than_wanted_a_smaller_stream_is_made(tmp_path: Path) -> None:
    """The server reserves what a stream may hold, and would refuse one of the wanted size."""
    async with nats_process(tmp_path, jetstream={"max_file_store": 40 * MEBIBYTE}) as server:
        async with opened(server.url, STREAM) as client:
            assert client.status()["settings_refused"] == ["STREAM_MAX_BYTES"]
            assert await client.publish(message())
        assert (await present(server.url)).max_bytes == 32 * MEBIBYTE


async def test_a_frozen_stream_is_named_and_made_anew(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk freezes it for good; with room again messages are taken, without a person's help."""
    monkeypatch.setattr(jetstream, "_FROZEN_SECONDS", 3)
    monkeypatch.setattr("sluice.nats.stream_upkeep._YOUNG_SECONDS", 0)
    async with opened(nats_server.url, STREAM) as client:
        assert await client.publish(message())
        with full_disk(nats_server.pid, nats_server.folder):
            await until(lambda: _says_that_it_refuses(client), within_seconds=60)
        await until(lambda: _is_taken(client), within_seconds=60)
        assert not client.status()["refuses"]
        assert client.is_connected


async def test_a_frozen_stream_that_others_read_is_left_to_a_person(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may not have what is in it from anywhere else."""
    monkeypatch.setattr(jetstream, "_FROZEN_SECONDS", 3)
    monkeypatch.setattr("sluice.nats.stream_upkeep._YOUNG_SECONDS", 0)
    async with opened(nats_server.url, STREAM) as client, operator(nats_server.url) as somebody:
        for durable in ("processor", "theirs"):
            await somebody.add_consumer("STRIPE", ConsumerConfig(durable_name=durable))
        assert await client.publish(message())
        with full_disk(nats_server.pid, nats_server.folder):
            await until(lambda: _says_that_it_refuses(client), within_seconds=60)
            for _ in range(5):
                assert not await _is_taken(client)
        assert (await somebody.stream_info("STRIPE")).state.messages == 1
        assert (await somebody.consumer_info("STRIPE", "theirs")).name == "theirs"


async def _is_taken(client: JetStream) -> bool:
    try:
        return await client.publish(message(), within_seconds=1)
    except StreamUnavailable:
        return False


async def _says_that_it_refuses(client: JetStream) -> bool:
    assert not await _is_taken(client)
    return client.status()["refuses"] is True


def test_one_refusal_alone_may_be_chance() -> None:
    """Several, over some seconds, with nothing stored between, are none."""
    now = 0.0
    publishing = Publishing(clock=lambda: now)
    for now in (0.0, 1.9):  # noqa: B007  the clock reads it
        publishing.failed()
        assert not publishing.is_refused
    now = 2.0
    publishing.failed()
    assert publishing.is_refused
    publishing.succeeded()
    assert not publishing.is_refused
    publishing.failed()
    assert publishing.refused_seconds == 0


def test_the_stream_is_what_its_settings_say() -> None:
    """And JetStream takes no window for duplicates that is longer than messages stay."""
    settings = StreamSettings(
        database_url=SecretStr("postgresql://db/x"), stream_replicas=3, stream_max_bytes=2 * MEBIBYTE, stream_max_age=60
    )
    assert settings.stream("S", ["s.>"]) == StreamSpec(
        "S", ["s.>"], max_age_seconds=60, max_bytes=2 * MEBIBYTE, duplicate_window_seconds=60, replicas=3
    )
