"""Which handlers an event gets, and what they say together, within one time budget."""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial

from processor import metrics
from processor.failures.classify import HandlerFailed, may_be_foreign
from processor.outcome import Fetching, Handled, Ping, Unmatched, Unsupported
from processor.worker.blocked_loop import BlockedLoop
from processor.worker.handler_call import HandlerEscaped, TaskLeftBehind, call_within
from sluice.contract.event import StripeEvent
from sluice.contract.thin import GENERATION_FAILURE, PING, plain_type
from sluice.outcomes import Applied, Ignored, Outcome, Parked, combine
from sluice.postgres.pool import DATABASE_ERRORS, Connection
from sluice.registry import BatchHandler, Registry, Transaction, name_of
from sluice.transaction import HandlersTransaction

TEST_MODE = Ignored("a test-mode event in production")
NO_HANDLER = Ignored("no handler for this type")  # or none that takes an organiser's
ORGANISERS_THIN = Unsupported("a thin event of an organiser's: our Stripe key does not open that account")
_LOOK_SECONDS = 1
_GRACE_SHARE = 0.125
"""Of the time budget: how long a handler that used it up may take to end."""


@dataclass(frozen=True)
class Dispatcher:
    """Calls each handler once with all events of a batch that concern it."""

    registry: Registry
    is_production: bool = False
    handler_seconds: float = 4
    blocked_loop: BlockedLoop = field(default_factory=BlockedLoop)

    async def handle(
        self, events: Sequence[StripeEvent], tx: Connection, *, last_looks: AbstractSet[str] = frozenset()
    ) -> Mapping[str, Handled]:
        """
        Run the handlers; the outcome of each event, by id.

        Args:
            last_looks: ids of parked events whose patience has ended; every handler is asked of them, and what waits
                even now is unmatched.

        Raises:
            HandlerFailed: one of the handlers raised, timed out or gave no sensible answer.
            MalformedEvent: a body is no JSON object.
        """
        screened = {event.stripe_event_id: self._screen(event) for event in events}
        wanted = [event for event in events if screened[event.stripe_event_id] is None]
        answers = await self._ask(wanted, tx, last_looks)
        ended = {event_id: _ended(answers[event_id]) for event_id in last_looks & answers.keys()}
        return {event_id: result or ended.get(event_id) or answers[event_id] for event_id, result in screened.items()}

    def _screen(self, event: StripeEvent) -> Handled | None:
        """The outcome of an event that needs no handler; None: run them."""
        if self.is_production and not event.livemode:
            return TEST_MODE
        if event.is_thin:
            return self._screen_thin(event)
        return None if self.registry.handlers_of(event) else NO_HANDLER

    def _screen_thin(self, event: StripeEvent) -> Handled:
        """Let those be fetched alone that a handler wants: each fetch is a request to Stripe."""
        if event.type == PING:
            return Ping()
        if event.type != GENERATION_FAILURE and not self._is_wanted(event):
            return NO_HANDLER
        return Fetching() if event.tenant is None else ORGANISERS_THIN

    def _is_wanted(self, thin: StripeEvent) -> bool:
        return bool(self.registry.handlers_of(replace(thin, type=plain_type(thin.type))))

    async def _ask(
        self, events: Sequence[StripeEvent], tx: Connection, last_looks: AbstractSet[str]
    ) -> Mapping[str, Outcome]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.handler_seconds
        answers: dict[str, Outcome] = {}
        for handler, concerned in self._by_handler(events):
            asked = concerned
            if self.registry.is_patient(handler):
                waiting = {event_id for event_id, answer in answers.items() if isinstance(answer, Parked)} - last_looks
                asked = [event for event in concerned if event.stripe_event_id not in waiting]
            for event_id, outcome in (await self._call(handler, asked, tx, deadline)).items():
                known = answers.get(event_id)
                answers[event_id] = outcome if known is None else combine(known, outcome)
        return answers

    def _by_handler(self, events: Sequence[StripeEvent]) -> Sequence[tuple[BatchHandler, Sequence[StripeEvent]]]:
        """Each handler with its events, the patient ones last."""
        concerned: dict[BatchHandler, list[StripeEvent]] = {}
        for event in events:
            for handler in dict.fromkeys(self.registry.handlers_of(event)):
                concerned.setdefault(handler, []).append(event)
        return sorted(concerned.items(), key=lambda asked: self.registry.is_patient(asked[0]))

    async def _call(
        self,
        handler: BatchHandler,
        events: Sequence[StripeEvent],
        tx: Connection,
        deadline: float,
    ) -> Mapping[str, Outcome]:
        """Let one handler handle its events; whatever it raises leaves the transaction as HandlerFailed."""
        if not events:
            return {}
        name = name_of(handler)
        ids = frozenset(event.stripe_event_id for event in events)
        own_tx = HandlersTransaction(tx)
        try:
            with metrics.timed_handler(name):
                answers = await call_within(
                    handler,
                    events,
                    own_tx,
                    close=tx.terminate,
                    deadline=deadline,
                    grace_seconds=self.handler_seconds * _GRACE_SHARE,
                    note_step=partial(self.blocked_loop.note, name, ids),
                )
            await self._end(own_tx, tx)
            return {event.stripe_event_id: _checked(answers.get(event.stripe_event_id, Applied())) for event in events}
        except asyncio.CancelledError:  # we ourselves; a handler's own is another error by now
            raise
        except HandlerEscaped as error:  # we closed its connection
            metrics.ESCAPED.labels(name).inc()
            raise HandlerFailed(name, events=ids) from error
        except TaskLeftBehind as error:  # we may have closed its connection
            raise HandlerFailed(name, events=ids) from error
        except BaseException as error:
            is_foreign = may_be_foreign(error) and await _is_sound(tx)
            is_lost = _is_lost(tx)
            raise HandlerFailed(name, events=ids, connection_lost=is_lost, is_foreign=is_foreign) from error
        finally:
            own_tx.end()

    async def _end(self, own_tx: HandlersTransaction, tx: Connection) -> None:
        """Close a handler's transaction to the tasks that it left behind; their statement is cancelled."""
        own_tx.end()
        if not own_tx.is_in_use:
            return
        if not await own_tx.is_freed(within_seconds=self.handler_seconds * _GRACE_SHARE):
            tx.terminate()
        raise TaskLeftBehind


def _ended(outcome: Outcome) -> Handled:
    return Unmatched(outcome.waiting_for) if isinstance(outcome, Parked) else outcome


async def _is_sound(tx: Transaction) -> bool:
    """Whether the transaction takes another statement; after an error of its own it takes none."""
    try:
        await tx.execute("SELECT", timeout=_LOOK_SECONDS)
    except DATABASE_ERRORS:
        return False
    return True


def _is_lost(tx: Transaction) -> bool:
    try:
        return tx.is_closed()
    except DATABASE_ERRORS:  # the pool has taken the dead connection back already
        return True


def _checked(outcome: Outcome) -> Outcome:
    if not isinstance(outcome, Applied | Ignored | Parked):
        raise TypeError("a handler answers Applied, Ignored or Parked")
    return outcome
