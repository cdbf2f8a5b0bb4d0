"""Pauses by hand: begun and ended as an operator does, heeded and let go as a processor does."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from processor.queue.direct import Direct
from processor.queue.pauses import KnownPauses, Resumption
from processor.worker.pause_gate import PauseGate
from sluice.contract.event import StripeEvent
from sluice.inbox.operations import Decision, read_states
from sluice.inbox.pauses import Kind
from sluice.inbox.states import State
from sluice.operations import pauses
from sluice.operations.pauses import Target
from tests.processor.harness import Harness, Message

DECISION = Decision("ada", "it pays twice")
EVERYTHING = Target(Kind.ALL)
A_TYPE = Target(Kind.TYPE, "test.eff*")
AN_ACCOUNT = Target(Kind.ACCOUNT, "acct_1")
A_HANDLER = Target(Kind.HANDLER, "tests.processor.harness.write_effect")
_DUE = """
SELECT stripe_event_id, processing_attempts
FROM webhook_logs
WHERE NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at <= now()
ORDER BY next_attempt_at
"""


@dataclass
class Pausing:
    """A harness whose processor looks at the pauses before each batch."""

    harness: Harness
    known: KnownPauses = field(init=False)

    def __post_init__(self) -> None:
        seconds = itertools.count(1000, 10)
        self.known = KnownPauses(self.harness.database, self.harness.registry, clock=lambda: float(next(seconds)))
        self.harness.pauses = PauseGate(self.harness.database, self.known)

    async def pause(self, target: Target) -> int:
        """Begin a pause; its number."""
        async with self.harness.database.acquire() as session:
            return await pauses.begin(session, target, DECISION)

    async def resume(self, *pause_ids: int) -> None:
        """End pauses; a processor has still to let the webhooks go."""
        async with self.harness.database.acquire() as session:
            await pauses.end(session, pause_ids, DECISION)

    async def let_go(self) -> None:
        """Let all go that waits for what has ended."""
        resumption = Resumption(self.harness.database, self.known, self.harness.stop)
        while await resumption.run_once():
            pass

    async def take_due(self, *events: StripeEvent) -> Sequence[Message]:
        """Publish what is due and take it, as relay and processor do."""
        by_id = {each.stripe_event_id: each for each in events}
        rows = await self.harness.database.fetch(_DUE)
        messages = [Message(by_id[row["stripe_event_id"]], row["processing_attempts"]) for row in rows]
        if messages:
            await self.harness.take(*messages)
        return messages

    async def take_directly(self) -> int:
        """Take what is due from PostgreSQL, as a processor without NATS does; how many."""
        source = Direct(self.harness.database)
        messages = await source.fetch(500, least_age_seconds=0)
        if messages:
            await self.harness.worker().take(messages)
            source.finished(messages)
        await source.release()
        return len(messages)

    async def states(self, *events: StripeEvent) -> list[State]:
        """The state of each row."""
        async with self.harness.database.acquire() as connection:
            states = await read_states(connection, [each.stripe_event_id for each in events])
        return [states[each.stripe_event_id] for each in events]
