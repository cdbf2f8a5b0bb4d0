"""Say again and again what this process works on, so that neither JetStream nor a processor gives it to another."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from processor.queue.direct import Direct
from sluice.nats.jetstream import IncomingMessage, give_back, keep
from sluice.postgres.pool import DATABASE_ERRORS
from sluice.runtime.endless import turn
from sluice.runtime.logs import get_logger

_EVERY_SECONDS = 1.0
_SUSPECT_SECONDS = 2.0
"""So soon a suspect comes again once its process has died of another one; what is no suspect waits for ack_wait."""


@dataclass
class Leases:
    """Keeps messages from coming again and leases from running out, as long as this process lives."""

    direct: Direct
    ack_wait_seconds: float
    clock: Callable[[], float] = time.monotonic
    _held: dict[object, tuple[Sequence[IncomingMessage], float]] = field(default_factory=dict)

    @contextmanager
    def holding(self, messages: Sequence[IncomingMessage]) -> Iterator[None]:
        """These, of one fetch, are worked on in this block."""
        with self.keeping(messages):
            try:
                yield
            finally:
                self.direct.finished(messages)

    @contextmanager
    def keeping(self, messages: Sequence[IncomingMessage]) -> Iterator[None]:
        """These are not delivered again in this block."""
        work = self.keep(messages)
        try:
            yield
        finally:
            self.let_go(work)

    def keep(self, messages: Sequence[IncomingMessage]) -> object:
        """Keep messages until what this returns is given to ``let_go``."""
        work = object()
        self._keep_suspects(messages)
        self._held[work] = (messages, self.clock())
        return work

    def let_go(self, work: object) -> None:
        """They are in hand no more."""
        del self._held[work]

    async def run(self) -> None:
        """Say it every second until cancelled, or more often where messages come again sooner."""
        while True:
            turn()
            await asyncio.sleep(min(_EVERY_SECONDS, self.ack_wait_seconds / 4))
            self.keep_messages()
            try:
                await self.direct.renew()
            except DATABASE_ERRORS as error:
                get_logger().info("leases_not_renewed", error=type(error).__name__)

    def keep_messages(self) -> None:
        """Once more for each suspect, and for what else was fetched more than a quarter of its time ago."""
        latest = self.clock() - self.ack_wait_seconds / 4
        for messages, since in self._held.values():
            self._keep_suspects(messages)
            if since <= latest:
                keep([message for message in messages if message.deliveries == 1])

    def _keep_suspects(self, messages: Sequence[IncomingMessage]) -> None:
        """For a short time, for the next one to run may end this process."""
        suspects = [message for message in messages if message.deliveries > 1]
        give_back(suspects, after_seconds=min(_SUSPECT_SECONDS, self.ack_wait_seconds))
