"""What this process works on, said again and again to whoever would otherwise give it to somebody else."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from processor.direct import Direct
from sluice.chassis.jetstream import IncomingMessage, keep
from sluice.chassis.logs import get_logger
from sluice.chassis.postgres import DATABASE_ERRORS

_EVERY_SECONDS = 1.0


@dataclass
class InHand:
    """Keeps messages from coming again and leases from running out, as long as this process lives."""

    direct: Direct
    ack_wait_seconds: float
    clock: Callable[[], float] = time.monotonic
    _held: dict[object, tuple[Sequence[IncomingMessage], float]] = field(default_factory=dict)

    @contextmanager
    def holding(self, messages: Sequence[IncomingMessage]) -> Iterator[None]:
        """These are worked on in this block."""
        work = object()
        self._held[work] = (messages, self.clock())
        try:
            yield
        finally:
            del self._held[work]
            self.direct.finished(messages)

    async def run(self) -> None:
        """Say it every second until cancelled, or more often where messages come again sooner."""
        while True:
            await asyncio.sleep(min(_EVERY_SECONDS, self.ack_wait_seconds / 4))
            self.keep_messages()
            try:
                await self.direct.renew()
            except DATABASE_ERRORS as error:
                get_logger().info("leases_not_renewed", error=type(error).__name__)

    def keep_messages(self) -> None:
        """Once more for every message that was fetched more than a quarter of its time ago."""
        latest = self.clock() - self.ack_wait_seconds / 4
        for messages, since in self._held.values():
            if since <= latest:
                keep(messages)
