"""One batch is one transaction: claim the rows, handle the events, settle the rows last."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from processor.dispatch import Dispatcher
from processor.retries import Patience
from processor.verdicts import (
    Duplicate,
    Handled,
    Locked,
    Missing,
    Settled,
    Suspect,
    Unclaimed,
    Unsupported,
    Verdict,
    Work,
    word,
)
from sluice.chassis.postgres import DATABASE_ERRORS, Connection, Database
from sluice.chassis.sql import load_queries
from sluice.contract.event import StripeEvent
from sluice.failures import Defect
from sluice.outcomes import Parked
from sluice.registry import Transaction

QUERIES = load_queries(__file__, "process.sql")
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Limits:
    """How long a transaction may take and wait; seconds."""

    transaction_seconds: float = 5
    lock_seconds: float = 2

    def lock_wait(self, *, has_waited: bool) -> float:
        """How long to wait for a lock; events that waited in vain hold their neighbours up no longer."""
        return self.lock_seconds / 20 if has_waited else self.lock_seconds


@dataclass(frozen=True)
class Processor:
    """Turns events into their effects, exactly once: the effects and ``processed = true`` are one commit."""

    database: Database
    dispatcher: Dispatcher
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)

    async def process(
        self, works: Sequence[Work], *, alone: bool = False, has_waited: bool = False
    ) -> Mapping[str, Verdict]:
        """
        Run these events, each id once, in one transaction; the answer, by id, is committed when this returns.

        Args:
            alone: the start of this run is committed to its row (see ``redelivery``).
            has_waited: some of these events have just waited for a lock in vain.

        Raises:
            Exception: whatever went wrong; nothing is committed, unless the commit's own answer was lost, and then
                another run meets ``processed = true``. ``retries.blame`` says whose fault it was.
        """
        async with (
            asyncio.timeout(self.limits.transaction_seconds),
            self.database.acquire() as connection,
            _transaction(connection),
        ):
            claimed = await self._claim(connection, works, alone, self.limits.lock_wait(has_waited=has_waited))
            unclaimed = await _look(connection, [work for work in works if work.event_id not in claimed], alone)
            handled = await self.dispatcher.handle(list(claimed.values()), connection)
            settled = await self._settle(connection, handled, _attempts(works))
        return {**unclaimed, **settled}

    async def _claim(
        self, tx: Transaction, works: Sequence[Work], alone: bool, lock_seconds: float
    ) -> Mapping[str, StripeEvent]:
        events = {work.event_id: work.event for work in works}
        rows = await tx.fetch(
            QUERIES["claim"],
            [work.event_id for work in works],
            [work.attempt for work in works],
            [event_id for event_id, event in events.items() if not event.body],
            alone,
            _milliseconds(self.limits.transaction_seconds * 0.95),  # the server gives up first and says why
            _milliseconds(lock_seconds),
            _milliseconds(self.limits.transaction_seconds * 2),
        )
        return {row["stripe_event_id"]: _with_body(events[row["stripe_event_id"]], row["body"]) for row in rows}

    async def _settle(
        self, tx: Transaction, handled: Mapping[str, Handled], attempts: Mapping[str, int]
    ) -> Mapping[str, Settled]:
        parked = {event_id: outcome for event_id, outcome in handled.items() if isinstance(outcome, Parked)}
        unsupported = {event_id: outcome for event_id, outcome in handled.items() if isinstance(outcome, Unsupported)}
        done = {event_id: o for event_id, o in handled.items() if not isinstance(o, Parked | Unsupported)}
        settled = {
            **await _settle_processed(tx, done),
            **await self._settle_parked(tx, parked, attempts),
            **await _settle_unsupported(tx, unsupported),
        }
        if settled.keys() != handled.keys():
            raise Defect("A claimed row vanished from its own transaction.")
        return settled

    async def _settle_parked(
        self, tx: Transaction, parked: Mapping[str, Parked], attempts: Mapping[str, int]
    ) -> Mapping[str, Settled]:
        if not parked:
            return {}
        rows = await tx.fetch(
            QUERIES["settle_parked"],
            list(parked),
            [_reason(f"waits for {outcome.waiting_for}") for outcome in parked.values()],
            [self.patience.delay_seconds(attempts[event_id] + 1) for event_id in parked],
            self.patience.patience_seconds,
        )
        return {row["stripe_event_id"]: Settled(parked[row["stripe_event_id"]], row["is_dead"]) for row in rows}


@asynccontextmanager
async def _transaction(connection: Connection) -> AsyncIterator[None]:
    """One transaction; whoever lost its connection, what they raised is not hidden behind a rollback that failed."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    except BaseException:
        with contextlib.suppress(*DATABASE_ERRORS):
            await transaction.rollback()
        raise
    await transaction.commit()


async def _look(tx: Transaction, works: Sequence[Work], alone: bool) -> Mapping[str, Unclaimed]:
    """Why the rest could not be claimed; the rows are not locked, so this is what they say at this moment."""
    if not works:
        return {}
    rows = {row["stripe_event_id"]: row for row in await tx.fetch(QUERIES["look"], [work.event_id for work in works])}
    found: dict[str, Unclaimed] = {}
    for work in works:
        row = rows.get(work.event_id)
        if row is None:
            found[work.event_id] = Missing()
        elif row["is_over"] or row["processing_attempts"] != work.attempt:
            found[work.event_id] = Duplicate()
        else:
            found[work.event_id] = Suspect() if row["solo_starts"] > 0 and not alone else Locked()
    return found


async def _settle_processed(tx: Transaction, done: Mapping[str, Handled]) -> Mapping[str, Settled]:
    if not done:
        return {}
    rows = await tx.fetch(QUERIES["settle_processed"], list(done), [word(outcome) for outcome in done.values()])
    return {
        row["stripe_event_id"]: Settled(done[row["stripe_event_id"]], delay_seconds=row["delay_seconds"])
        for row in rows
    }


async def _settle_unsupported(tx: Transaction, dead: Mapping[str, Unsupported]) -> Mapping[str, Settled]:
    if not dead:
        return {}
    rows = await tx.fetch(QUERIES["settle_unsupported"], list(dead), [_reason(o.reason) for o in dead.values()])
    return {row["stripe_event_id"]: Settled(dead[row["stripe_event_id"]], row["is_dead"]) for row in rows}


def _with_body(event: StripeEvent, body: bytes | None) -> StripeEvent:
    return event if body is None else replace(event, body=body)


def _attempts(works: Sequence[Work]) -> Mapping[str, int]:
    return {work.event_id: work.attempt for work in works}


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _reason(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:_LONGEST_REASON]
