"""`python -m bench.brokers`: CPU time per message of each connection to NATS, interleaved on one server."""

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple, get_args

import click
import uvloop

from devstack.nats import NatsServer
from sluice.nats.broker import Broker
from sluice.nats.jetstream import JetStream
from sluice.nats.types import ConsumerSpec, OutgoingMessage, StreamSpec, acknowledge
from sluice.runtime.settings import NatsClient, ServiceSettings

_BODY: Final = b"x" * 2_900
_HEADERS: Final = {f"ce-header-{number}": "a value as long as they are" for number in range(9)}
_LANES: Final = 4
_FETCH: Final = 500


class Cost(NamedTuple):
    """Microseconds of this process's CPU time for each message."""

    publish: float
    consume: float


@click.command()
@click.option("--messages", default=4_000, show_default=True, help="Messages of each run.")
@click.option("--together", default=64, show_default=True, help="Messages that are published in one piece.")
@click.option("--rounds", default=5, show_default=True, help="Runs of each connection; medians are shown.")
def main(*, messages: int, together: int, rounds: int) -> None:
    """Publish, fetch and acknowledge by each connection in turn."""
    costs = uvloop.run(_measure(messages, together, rounds))
    for client, runs in costs.items():
        publish, consume = (statistics.median(column) for column in zip(*runs, strict=True))
        click.echo(f"{client:8} publish {publish:6.1f} µs   fetch and acknowledge {consume:6.1f} µs")


async def _measure(messages: int, together: int, rounds: int) -> dict[NatsClient, list[Cost]]:
    clients: tuple[NatsClient, ...] = get_args(NatsClient)
    costs: dict[NatsClient, list[Cost]] = {client: [] for client in clients}
    serials = itertools.count()
    with tempfile.TemporaryDirectory(prefix="sluice-brokers-") as folder:
        server = await NatsServer.start(Path(folder) / "nats")
        try:
            for number in range(rounds):
                for client in clients[:: 1 if number % 2 else -1]:
                    async with _opened(client, server.url) as broker:
                        costs[client].append(await _run(broker, messages, together, serials))
        finally:
            await server.stop()
    return costs


@asynccontextmanager
async def _opened(client: NatsClient, url: str) -> AsyncIterator[Broker]:
    where = {"database_url": "postgresql://nowhere/x", "nats_url": url, "nats_client": client}
    settings = ServiceSettings.model_validate(where)
    stream, consumer = StreamSpec("STRIPE", ["stripe.>"]), ConsumerSpec("processor")
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(settings, name="bench", group=group, stream=stream, consumer=consumer) as broker,
    ):
        await broker.wait_connected()
        yield broker


async def _run(broker: Broker, messages: int, together: int, serials: Iterator[int]) -> Cost:
    batches = iter([[_message(next(serials)) for _ in range(together)] for _ in range(messages // together)])
    sent = messages // together * together
    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(_LANES):
            group.create_task(_publish(broker, batches))
    published = time.process_time()
    taken = 0
    while taken < sent:
        found = await broker.fetch(_FETCH, within_seconds=2)
        acknowledge(found)
        taken += len(found)
    return Cost((published - began) / sent * 1e6, (time.process_time() - published) / sent * 1e6)


async def _publish(broker: Broker, batches: Iterator[list[OutgoingMessage]]) -> None:
    for batch in batches:
        if await broker.publish_many(batch) != [True] * len(batch):
            raise RuntimeError("a message was not stored")


def _message(serial: int) -> OutgoingMessage:
    return OutgoingMessage("stripe.live.platform.payment_intent.succeeded", f"evt_{serial}:1", _BODY, _HEADERS)


if __name__ == "__main__":
    main()
