"""Fetch from the stream, hand over to a turn, again and again; nothing is fetched while PostgreSQL is away."""

import asyncio
import time
from dataclasses import dataclass

from processor import metrics
from processor.outage import Outage
from processor.turn import Turns
from sluice.chassis.jetstream import JetStream


@dataclass
class Consumer:
    """The one loop of the processor."""

    stream: JetStream
    turns: Turns
    outage: Outage
    stop: asyncio.Event
    batch_size: int = 100
    fetch_seconds: float = 1
    turned_at: float = 0
    """When the loop last turned, by the monotonic clock; it turns at least every few seconds, whatever is away."""

    async def run(self) -> None:
        """Turn until the stop; what is in flight then is finished."""
        while not self.stop.is_set():
            await self.run_once()
            self.turned_at = time.monotonic()
            metrics.LAST_TURN.set_to_current_time()

    async def run_once(self) -> None:
        """One fetch and what it brought; or, in an outage, one look and a pause."""
        if await self.outage.lasts():
            return
        messages = await self.stream.fetch(self.batch_size, within_seconds=self.fetch_seconds)
        if not messages:
            return
        metrics.BATCH_EVENTS.observe(len(messages))
        metrics.REDELIVERED.inc(sum(message.deliveries > 1 for message in messages))
        await self.turns.take(messages)
