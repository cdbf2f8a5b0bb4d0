"""
The newest state of each invoice and subscription, whatever order their events come in.

By Stripe's clock the newest second wins. Which of its words does is a function of all words of that second
(``sluice.payments.same_second``), so the row keeps their ids beside what it shows, in ``newest_second``. A second that
is told in one batch costs one statement; where a later batch tells more of it, what was said before is read again.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import orjson

from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.failures import MalformedEvent
from sluice.outcomes import Applied, Ignored, Outcome
from sluice.payments import invoice, subscription
from sluice.payments.same_second import Word, last_words, newest
from sluice.postgres.sql import columns, load_queries

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from asyncpg import Record

    from sluice.registry import Transaction

    class _State(DataclassInstance, Protocol):
        @property
        def scope(self) -> str: ...
        @property
        def status(self) -> str: ...
        @property
        def said_at(self) -> int: ...
        @property
        def stripe_event_id(self) -> str: ...


QUERIES = load_queries(__file__, "billing.sql")
STATELESS = Ignored("shows no state that could be kept")

_S = TypeVar("_S", bound="_State")
_Row = tuple[Any, ...]


async def keep_invoices(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
    """Write the newest word on each invoice."""
    return await _INVOICES.keep(events, tx)


async def keep_subscriptions(events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
    """Write the newest word on each subscription."""
    return await _SUBSCRIPTIONS.keep(events, tx)


class _Said(NamedTuple, Generic[_S]):
    """One event, and the row that it would make."""

    event: StripeEvent
    state: _S

    @property
    def word(self) -> Word:
        """How it is compared with others of the same second."""
        return Word.of(self.event, self.state.status)


@dataclass(frozen=True)
class _Table(Generic[_S]):
    """One of the two tables."""

    query: str
    read: Callable[[StripeEvent], _S | None]
    precedence: Sequence[str]
    columns: Callable[[_S], tuple[Any, ...]]
    """The row in the order of the statement; the first two columns are the key."""

    async def keep(self, events: Sequence[StripeEvent], tx: "Transaction") -> Mapping[str, Outcome]:
        """Write the newest word on each object of these events."""
        states = {event.stripe_event_id: self.read(event) for event in events}
        said = [_Said(event, state) for event in events if (state := states[event.stripe_event_id]) is not None]
        if said:
            rows = [self._row(second) for second in self._newest_seconds(said)]
            contested = await self._write(tx, rows, is_settled=False)
            if contested:
                await self._settle(tx, contested, {one.event.stripe_event_id: one for one in said})
        return {event_id: STATELESS if state is None else Applied() for event_id, state in states.items()}

    async def _write(self, tx: "Transaction", rows: Sequence[_Row], *, is_settled: bool) -> Sequence["Record"]:
        """One row for each object; gives the rows of which the same second was known already."""
        return await tx.fetch(QUERIES[self.query], *columns(rows, len(rows[0])), is_settled)

    async def _settle(self, tx: "Transaction", contested: Sequence["Record"], told: Mapping[str, _Said[_S]]) -> None:
        """Read again what was said in these seconds, and write the rows that do not show the word that stands."""
        names = (name for row in contested for name in (row["stripe_event_id"], *orjson.loads(row["newest_second"])))
        logged = await tx.fetch(QUERIES["read_words"], sorted({*names} - told.keys()))
        said = {
            **told,
            **{row["stripe_event_id"]: read for row in logged if (read := self._read_again(row)) is not None},
        }
        settled = [settled for row in contested if (settled := self._settled(row, said)) is not None]
        if settled:
            await self._write(tx, settled, is_settled=True)

    def _settled(self, row: "Record", said: Mapping[str, _Said[_S]]) -> _Row | None:
        """The row as it must be; None where it is so, or where the word that stands is not logged any more."""
        kept: Mapping[str, str] = orjson.loads(row["newest_second"])
        shown = row["stripe_event_id"]
        known = {shown: row["status"], **kept}
        full = {event_id: said[event_id] for event_id in known if event_id in said and self._is_of(said[event_id], row)}
        # The release before may have left ids of an older second; what the row shows counts in any case.
        bare = {event_id for event_id in known if event_id not in said} | ({shown} - full.keys())
        words = [one.word for one in full.values()] + [Word(event_id, known[event_id]) for event_id in bare]
        compared = last_words(words, self.precedence)
        stands = newest(compared, self.precedence).stripe_event_id
        is_so = stands == shown and kept.keys() == {word.stripe_event_id for word in compared}
        if is_so or stands not in full:
            return None
        return (*self.columns(replace(full[stands].state, scope=row["scope"])), _statuses(compared))

    def _is_of(self, one: _Said[_S], row: "Record") -> bool:
        return (one.state.said_at, self.columns(one.state)[1]) == (row["said_at"], row["object_id"])

    def _read_again(self, logged: "Record") -> _Said[_S] | None:
        try:
            read = read_event(logged["body"], tenant=logged["tenant"])
        except MalformedEvent:  # an earlier release took it
            return None
        event = replace(read, stripe_event_id=logged["stripe_event_id"])  # of what was fetched, the body has another
        state = self.read(event)
        return None if state is None else _Said(event, state)

    def _row(self, second: Collection[_Said[_S]]) -> _Row:
        """The state of an object after the words of one second, as far as they came together."""
        if len(second) == 1:
            ((event, state),) = second
            return (*self.columns(state), _statuses([Word(event.stripe_event_id, state.status)]))
        states = {one.event.stripe_event_id: one.state for one in second}
        words = last_words([one.word for one in second], self.precedence)
        return (*self.columns(states[newest(words, self.precedence).stripe_event_id]), _statuses(words))

    def _newest_seconds(self, said: Iterable[_Said[_S]]) -> Collection[Collection[_Said[_S]]]:
        """The words about each object in its newest second."""
        found: dict[_Row, list[_Said[_S]]] = {}
        for one in said:
            known = found.setdefault(self.columns(one.state)[:2], [])
            if known and known[0].state.said_at > one.state.said_at:
                continue
            if known and known[0].state.said_at < one.state.said_at:
                known.clear()
            known.append(one)
        return found.values()


def _statuses(words: Iterable[Word]) -> str:
    return orjson.dumps({word.stripe_event_id: word.status for word in words}).decode()


def _columns(state_type: type[_S]) -> Callable[[_S], tuple[Any, ...]]:
    return attrgetter(*(field.name for field in fields(state_type)))


_INVOICES = _Table("keep_invoices", invoice.state, invoice.PRECEDENCE, _columns(invoice.InvoiceState))
_SUBSCRIPTIONS = _Table(
    "keep_subscriptions", subscription.state, subscription.PRECEDENCE, _columns(subscription.SubscriptionState)
)
