"""Follow webhooks and operations while they change: each look costs little, whatever the size of the log."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from sluice.inbox.operations import AnyConnection
from sluice.inbox.states import OPEN, State
from sluice.operations.book import Progress
from sluice.operations.filters import PARAMETERS, Filter, chosen_webhooks
from sluice.operations.verbs import DEAD
from sluice.operations.webhooks import Listed
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "following.sql")
_LATE: Final = timedelta(seconds=5)
"""A statement that inserts webhooks commits within this time, so each look goes back so far."""
_AT_ONCE: Final = 1_000
"""So many rows at most are read for one reason in one look."""
_UNSETTLED: Final = (*OPEN, State.PAUSED, State.FETCHING)
_COLUMNS = "SELECT item_id, kind, state, created_at, attempts, outcome, object_id, error"
_ARRIVED = f"""
{_COLUMNS}, id FROM ({{choice}}) AS choice
WHERE ${PARAMETERS + 2}::timestamptz IS NULL OR (created_at, length(id), id)
      > (${PARAMETERS + 2}::timestamptz, length(${PARAMETERS + 3}::text), ${PARAMETERS + 3}::text)
ORDER BY created_at, length(id), id LIMIT ${PARAMETERS + 1}
"""
_NEWEST = f"""
{_COLUMNS}, id FROM ({{choice}}) AS choice
ORDER BY created_at DESC, length(id) DESC, id DESC LIMIT ${PARAMETERS + 1}
"""
_DIED = f"AND w.dead_at >= ${PARAMETERS + 2}"


class WebhookFollower:
    """Tells which webhooks of a filter arrived, or changed, since the look before."""

    def __init__(self, session: AnyConnection, chosen: Filter, since: datetime) -> None:
        """Follow webhooks from a moment on; what changes in a webhook, such as its state, says what is told of it."""
        self._session = session
        self._told = chosen
        self._chosen = replace(chosen, states=(), outcome=None, handler=None, error=None)
        self._since = since
        self._reached: tuple[datetime, str] | None = None
        """Place up to which arrivals were read, where a look could not read them all."""
        self._known: Mapping[str, Listed] = {}

    @classmethod
    async def begin(cls, session: AnyConnection, chosen: Filter) -> "WebhookFollower":
        """Follow webhooks from now on; what is there already is told of when it changes."""
        follower = cls(session, chosen, await session.fetchval(QUERIES["now"]))
        unsettled = await follower._read(_NEWEST, _UNSETTLED, follower._chosen, _AT_ONCE)
        recent = await follower._read(_NEWEST, list(State), follower._narrowed(follower._edge), _AT_ONCE)
        follower._known = {one.item_id: one for one in (*unsettled, *recent)}
        return follower

    @property
    def has_more(self) -> bool:
        """Whether the look before left some to be read at once."""
        return self._reached is not None

    async def look(self) -> Sequence[Listed]:
        """Give what arrived or changed, in the order of receipt."""
        began: datetime = await self._session.fetchval(QUERIES["now"])
        found = {one.item_id: one for one in (*await self._read_dead(), *await self._read_again())}
        found.update((one.item_id, one) for one in await self._read_arrived())
        news = [one for one in found.values() if _differs(one, self._known.get(one.item_id))]
        self._known = {**_worth_keeping(self._known, self._edge), **found}
        self._since = began
        return sorted(await self._to_be_told(news), key=lambda one: one.created_at)

    async def _to_be_told(self, news: Sequence[Listed]) -> Sequence[Listed]:
        if not news or self._told == self._chosen:
            return news
        asked = replace(self._told, ids=[one.item_id for one in news], customer=None)
        fit = {one.item_id for one in await self._read(_NEWEST, self._told.states or list(State), asked, len(news))}
        return [one for one in news if one.item_id in fit]

    async def _read_arrived(self) -> Sequence[Listed]:
        since = self._edge if self._reached is None else self._reached[0]
        place = self._reached or (None, None)
        text = _ARRIVED.format(choice=chosen_webhooks(list(State)))
        rows = await self._session.fetch(text, *self._narrowed(since).parameters, _AT_ONCE, *place)
        self._reached = (rows[-1]["created_at"], rows[-1]["id"]) if len(rows) == _AT_ONCE else None
        return [_listed(row) for row in rows]

    async def _read_again(self) -> Sequence[Listed]:
        unsettled = [key for key, one in self._known.items() if _is_unsettled(one)]
        if not unsettled:
            return []
        known = replace(self._chosen, ids=unsettled, customer=None)  # whose they are was read from their bodies
        return await self._read(_NEWEST, list(State), known, _AT_ONCE)

    async def _read_dead(self) -> Sequence[Listed]:
        text = _NEWEST.format(choice=f"{chosen_webhooks(DEAD)} {_DIED}")
        return [_listed(row) for row in await self._session.fetch(text, *self._chosen.parameters, _AT_ONCE, self._edge)]

    async def _read(self, query: str, states: Collection[State], chosen: Filter, at_most: int) -> Sequence[Listed]:
        text = query.format(choice=chosen_webhooks(list(states)))
        return [_listed(row) for row in await self._session.fetch(text, *chosen.parameters, at_most)]

    def _narrowed(self, since: datetime) -> Filter:
        return replace(self._chosen, since=max(since, self._chosen.since or since))

    @property
    def _edge(self) -> datetime:
        return self._since - _LATE


@dataclass(frozen=True, slots=True)
class OperationSeen:
    """One operation, and how far it is by the place of its first open item."""

    id: int
    verb: str
    person: str
    reason: str
    progress: Progress
    items: int
    done: int


class OperationFollower:
    """Tells which operations began, went on, or ended since the look before."""

    def __init__(self, session: AnyConnection) -> None:
        """Follow the operations that are open, and all that begin."""
        self._session = session
        self._newest: int | None = None
        self._known: dict[int, OperationSeen] = {}

    async def look(self) -> Sequence[OperationSeen]:
        """Give what changed, in the order of their beginning; the first look gives what is open."""
        if self._newest is None:
            [row] = await self._session.fetch(QUERIES["open_operations"])
            self._newest, following = row["newest"], list(row["open"])
        else:
            following = [number for number, one in self._known.items() if one.progress is Progress.OPEN]
        rows = await self._session.fetch(QUERIES["operations"], self._newest, following)
        seen = [_seen(row) for row in rows]
        news = [one for one in seen if self._known.get(one.id) != one]
        self._known = {one.id: one for one in seen}
        self._newest = max([self._newest, *self._known])
        return news


def _listed(row: asyncpg.Record) -> Listed:
    return Listed(**{name: value for name, value in row.items() if name != "id"})


def _is_unsettled(one: Listed) -> bool:
    return State[one.state.upper()] in _UNSETTLED


def _differs(one: Listed, before: Listed | None) -> bool:
    return before is None or (one.state, one.attempts, one.outcome) != (before.state, before.attempts, before.outcome)


def _worth_keeping(known: Mapping[str, Listed], edge: datetime) -> Mapping[str, Listed]:
    """Keep what another look finds again, and the newest of what may still change."""
    unsettled = sorted((one for one in known.values() if _is_unsettled(one)), key=lambda one: one.created_at)
    recent = (one for one in known.values() if one.created_at >= edge)
    return {one.item_id: one for one in (*unsettled[-_AT_ONCE:], *recent)}


def _seen(row: asyncpg.Record) -> OperationSeen:
    progress = Progress.OPEN if row["cancelled_at"] is None else Progress.CANCELLED
    return OperationSeen(
        id=row["id"],
        verb=row["verb"],
        person=row["person"],
        reason=row["reason"],
        progress=Progress.DONE if row["ended_at"] is not None else progress,
        items=row["items"],
        done=row["items"] if row["first_open"] is None else row["first_open"] - 1,
    )
