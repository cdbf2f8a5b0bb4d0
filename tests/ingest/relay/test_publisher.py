"""A NATS that takes every byte and says nothing: each publication has a deadline of its own."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest_asyncio

from ingest.relay.publisher import Publication, Publisher, PublisherLimits
from sluice.nats.jetstream import JetStream
from tests.ingest.relay.test_sweeper import connected
from tests.ingest.webhooks import event
from tests.waiting import until
from tests.wire import Wire

SOON = PublisherLimits(publish_seconds=0.3)


@pytest_asyncio.fixture
async def silent(nats_url: str) -> AsyncIterator[JetStream]:
    """A connection that is dead without being known to be: pings tell after twenty seconds at the earliest."""
    server = urlsplit(nats_url)
    async with (
        Wire(server.hostname or "", server.port or 0).open() as wire,
        connected(nats_url.replace(f":{server.port}", f":{wire.port}")) as stream,
    ):
        wire.cut()
        yield stream


async def test_a_fresh_event_that_nats_does_not_answer_is_left_to_the_sweep(silent: JetStream) -> None:
    """In its own time, not when the connection is given up; so another piece may be sent."""
    publisher = Publisher(silent, limits=SOON)
    late = event()
    publisher.hand_over([late])
    await until(lambda: publisher.failed_publications.take(1, older_than_seconds=0) == [late.stripe_event_id])
    assert (silent.is_connected, silent.generation) == (True, 1)


async def test_a_sweeps_publication_that_nats_does_not_answer_ends_in_time(silent: JetStream) -> None:
    """Nothing was stored, and the sweep may go on long before its own time is up."""
    publisher = Publisher(silent, limits=SOON)
    publication = Publication(event(), attempt=0, publication=2, reason="due")
    assert await publisher.publish_all([publication], within_seconds=60) == 0
    assert (silent.is_connected, silent.generation) == (True, 1)
