"""
One batch is one transaction: claim the rows, handle the events, settle the rows last.

What is handled is what the rows hold: a message that holds anything else is not run. What is settled is settled in the
transaction that claimed, and in no other.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from processor.failures.classify import LostOutsideHandlers, is_cut
from processor.failures.retry_policy import Patience
from processor.outcome import (
    Attempt,
    Claimed,
    Duplicate,
    Fetching,
    Forged,
    Handled,
    Locked,
    MessageOutcome,
    Missing,
    Settled,
    Suspect,
    Unclaimed,
    Unsupported,
    Work,
    word,
)
from processor.worker.dispatcher import Dispatcher
from processor.worker.row_match import differences, digest_of, with_body
from sluice.failures import Defect
from sluice.inbox import claims
from sluice.inbox.claims import Parking, TransactionLimits
from sluice.outcomes import Parked
from sluice.postgres.pool import DATABASE_ERRORS, Connection, Database, Record

_LONGEST_REASON = 300
_RENDERING = frozenset({"api_version", "body"})
"""Fields in which Stripe's API may give an event otherwise than its webhook did."""


@dataclass(frozen=True)
class Limits:
    """How long a transaction may take and wait; seconds."""

    transaction_seconds: float = 5
    lock_seconds: float = 2

    def lock_wait(self, *, has_waited: bool) -> float:
        """How long to wait for a lock; events that waited in vain hold their neighbours up no longer."""
        return self.lock_seconds / 20 if has_waited else self.lock_seconds


@dataclass(frozen=True)
class Claim:
    """The rows that one transaction locked, and the messages among theirs that are not to be run."""

    rows: Mapping[str, Claimed] = field(default_factory=dict)
    forged: Mapping[str, Forged] = field(default_factory=dict)
    transaction: str = ""
    """PostgreSQL's id of the transaction; empty where it locked nothing."""


class Transactions(Protocol):
    """Runs events, many in one transaction."""

    @property
    def limits(self) -> Limits:
        """How long a transaction may take."""

    async def process(
        self, works: Sequence[Work], *, isolated: bool = False, has_waited: bool = False
    ) -> Mapping[str, MessageOutcome]:
        """Run these events in one transaction, as ``Processor.process``."""


@dataclass(frozen=True)
class Processor:
    """Turns events into their effects, exactly once: the effects and ``processed = true`` are one commit."""

    database: Database
    dispatcher: Dispatcher
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)

    async def process(
        self, works: Sequence[Work], *, isolated: bool = False, has_waited: bool = False
    ) -> Mapping[str, MessageOutcome]:
        """
        Run these events, each id once, in one transaction; the answer, by id, is committed when this returns.

        Args:
            isolated: the start of this run is committed to its row (see ``isolated_runs``).
            has_waited: some of these events have just waited for a lock in vain.

        Raises:
            Exception: whatever went wrong; nothing is committed, unless the commit's own answer was lost, and then
                another run meets ``processed = true``. ``classify.blame`` says whose fault it was.
        """
        async with (
            asyncio.timeout(self.limits.transaction_seconds),
            self.database.acquire() as connection,
            open_transaction(connection),
        ):
            return await self.process_in(connection, works, isolated=isolated, has_waited=has_waited)

    async def process_in(
        self, connection: Connection, works: Sequence[Attempt], *, isolated: bool = False, has_waited: bool = False
    ) -> Mapping[str, MessageOutcome]:
        """Run these events, as ``process``, in a transaction that is the caller's to commit or to roll back."""
        with _outside_handlers(connection):
            claim = await self._claim(connection, works, isolated, self.limits.lock_wait(has_waited=has_waited))
            rest = [work for work in works if work.event_id not in claim.rows and work.event_id not in claim.forged]
            looked_at = await look(connection, rest, isolated=isolated)
            unclaimed = await _excuse_renderings(connection, {**looked_at, **claim.forged})
        last_looks = frozenset(event_id for event_id, row in claim.rows.items() if row.is_last_look)
        events = [row.event for row in claim.rows.values()]
        handled = await self.dispatcher.handle(events, connection, last_looks=last_looks)
        with _outside_handlers(connection):
            settled = await self._settle(connection, handled, _attempts(works), claim.transaction)
        return {**unclaimed, **settled}

    async def _claim(self, tx: Connection, works: Sequence[Attempt], isolated: bool, lock_seconds: float) -> Claim:
        rows = await claims.claim(
            tx,
            _attempts(works),
            _digests(works),
            is_isolated=isolated,
            patience_seconds=self.patience.patience_seconds,
            limits=TransactionLimits(
                statement=_milliseconds(
                    self.limits.transaction_seconds * 0.95
                ),  # the server gives up first and says why
                lock=_milliseconds(lock_seconds),
                idle=_milliseconds(self.limits.transaction_seconds * 2),
            ),
        )
        return _claim_of(rows, works)

    async def _settle(
        self, tx: Connection, handled: Mapping[str, Handled], attempts: Mapping[str, int], claimed_in: str
    ) -> Mapping[str, Settled]:
        parked = {event_id: outcome for event_id, outcome in handled.items() if isinstance(outcome, Parked)}
        unsupported = {event_id: outcome for event_id, outcome in handled.items() if isinstance(outcome, Unsupported)}
        fetching = {event_id: outcome for event_id, outcome in handled.items() if isinstance(outcome, Fetching)}
        done = {event_id: o for event_id, o in handled.items() if not isinstance(o, Parked | Unsupported | Fetching)}
        settled = {
            **await _settle_processed(tx, done, claimed_in),
            **await self._settle_parked(tx, parked, attempts, claimed_in),
            **await _settle_unsupported(tx, unsupported, claimed_in),
            **await _settle_fetching(tx, fetching, claimed_in),
        }
        if settled.keys() != handled.keys():
            raise Defect("A claimed row vanished from its own transaction, or a handler ended that.")
        return settled

    async def _settle_parked(
        self, tx: Connection, parked: Mapping[str, Parked], attempts: Mapping[str, int], claimed_in: str
    ) -> Mapping[str, Settled]:
        if not parked:
            return {}
        parkings = {
            event_id: Parking(
                _reason(f"waits for {outcome.waiting_for}"), self.patience.delay_seconds(attempts[event_id] + 1)
            )
            for event_id, outcome in parked.items()
        }
        settled = await claims.settle_parked(tx, parkings, claimed_in)
        return {event_id: Settled(parked[event_id]) for event_id in settled}


@asynccontextmanager
async def open_transaction(connection: Connection) -> AsyncIterator[None]:
    """
    One transaction, or a savepoint; an error that lost the connection is not hidden behind a rollback that failed.

    READ COMMITTED is asked for: by another default of the role's, a statement would miss what others commit meanwhile.
    """
    transaction = connection.transaction(isolation="read_committed")
    with _outside_handlers(connection):
        await transaction.start()
    try:
        yield
    except BaseException:
        with contextlib.suppress(*DATABASE_ERRORS):
            await transaction.rollback()
        raise
    await transaction.commit()


@contextmanager
def _outside_handlers(connection: Connection) -> Iterator[None]:
    """Say of a connection that is lost in this block that no handler ran; one that was lost before is a handler's."""
    was_lost = connection.is_closed()
    try:
        yield
    except DATABASE_ERRORS as error:
        if was_lost or not is_cut(error):
            raise
        raise LostOutsideHandlers from error


def _claim_of(rows: Sequence[Record], works: Sequence[Attempt]) -> Claim:
    events = {work.event_id: work.event for work in works}
    claimed: dict[str, Claimed] = {}
    forged: dict[str, Forged] = {}
    for row in rows:
        event = events[row["stripe_event_id"]]
        if differing := differences(event, row):
            forged[event.stripe_event_id] = Forged(differing)
        else:
            claimed[event.stripe_event_id] = Claimed(with_body(event, row), row["is_last_look"])
    return Claim(claimed, forged, rows[0]["claimed_in"] if rows else "")


async def look(tx: Connection, works: Sequence[Attempt], *, isolated: bool) -> Mapping[str, Unclaimed]:
    """Why these could not be claimed; the rows are not locked, so this is what they say at this moment."""
    if not works:
        return {}
    rows = await claims.look(tx, [work.event_id for work in works], _digests(works))
    return {work.event_id: _unclaimed(work, rows.get(work.event_id), isolated) for work in works}


def _unclaimed(work: Attempt, row: "Record | None", isolated: bool) -> Unclaimed:
    if row is None:
        return Missing()
    is_known = not row["is_over"] or row["has_body"]  # the body of what is over may be gone
    if is_known and (differing := differences(work.event, row)):
        return Forged(differing)
    if row["is_over"] or row["is_early"] or row["processing_attempts"] != work.attempt:
        return Duplicate()
    return Suspect() if row["solo_starts"] > 0 and not isolated else Locked()


async def _excuse_renderings(tx: Connection, answers: Mapping[str, Unclaimed]) -> Mapping[str, Unclaimed]:
    """A row that was lost and fetched from Stripe's API has another rendering of what its old message holds."""
    suspects = [
        event_id
        for event_id, answer in answers.items()
        if isinstance(answer, Forged) and _RENDERING.issuperset(answer.differing)
    ]
    if not suspects:
        return answers
    return {**answers, **dict.fromkeys(await claims.read_fetched(tx, suspects), Duplicate())}


async def _settle_processed(tx: Connection, done: Mapping[str, Handled], claimed_in: str) -> Mapping[str, Settled]:
    if not done:
        return {}
    words = {event_id: word(outcome) for event_id, outcome in done.items()}
    delays = await claims.settle_processed(tx, words, claimed_in)
    return {event_id: Settled(done[event_id], delay_seconds=delay) for event_id, delay in delays.items()}


async def _settle_unsupported(
    tx: Connection, dead: Mapping[str, Unsupported], claimed_in: str
) -> Mapping[str, Settled]:
    if not dead:
        return {}
    reasons = {event_id: _reason(outcome.reason) for event_id, outcome in dead.items()}
    settled = await claims.settle_unsupported(tx, reasons, claimed_in)
    return {event_id: Settled(dead[event_id], is_dead=True) for event_id in settled}


async def _settle_fetching(tx: Connection, thin: Mapping[str, Fetching], claimed_in: str) -> Mapping[str, Settled]:
    if not thin:
        return {}
    settled = await claims.settle_fetching(tx, sorted(thin), claimed_in)
    return {event_id: Settled(thin[event_id]) for event_id in settled}


def _digests(works: Sequence[Attempt]) -> Sequence[bytes | None]:
    """For ``unnest``, which fills an empty column up with NULL: nearly always no body is large."""
    digests = [digest_of(work.event) for work in works]
    return digests if any(digests) else ()


def _attempts(works: Sequence[Attempt]) -> Mapping[str, int]:
    return {work.event_id: work.attempt for work in works}


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _reason(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:_LONGEST_REASON]
