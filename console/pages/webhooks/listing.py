"""Read one page of the list of webhooks, the newest first, in a time that no size of the log changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from console.web.faults import Unfit
from sluice.inbox.states import State
from sluice.operations.filters import PARAMETERS, Filter, chosen_webhooks
from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "listing.sql")
PAGE_ROWS = 50
LOOK_THROUGH = 20_000
"""Webhooks that one page looks through where no index finds what the filter asks."""
_BODIES = 1_000
"""The same where each body must be read."""
_FOUND_BY_INDEX = frozenset(State) - {State.PROCESSED, State.UNFETCHABLE}
_PAGE = f"""
SELECT chosen.item_id, chosen.kind, chosen.state, chosen.created_at, chosen.attempts, chosen.outcome, chosen.object_id,
       chosen.error, chosen.id, w.processed_at::timestamptz AS processed_at, w.livemode
FROM (
    SELECT * FROM ({{choice}}) AS choice
    WHERE ${PARAMETERS + 1}::timestamptz IS NULL
       OR (created_at, length(id), id) < (${PARAMETERS + 1}, ${PARAMETERS + 2}::integer, ${PARAMETERS + 3}::text)
    ORDER BY created_at DESC, length(id) DESC, id DESC
    LIMIT ${PARAMETERS + 4}
) AS chosen
JOIN webhook_logs AS w ON w.stripe_event_id = chosen.item_id
ORDER BY chosen.created_at DESC, length(chosen.id) DESC, chosen.id DESC
"""  # noqa: S608 - the text is our own


@dataclass(frozen=True, slots=True)
class Row:
    """One webhook of the list."""

    item_id: str
    kind: str
    state: str
    created_at: datetime
    attempts: int
    outcome: str | None
    object_id: str | None
    error: str | None
    id: str
    processed_at: datetime | None
    livemode: bool | None

    @property
    def effect_seconds(self) -> float | None:
        """Time from its receipt to its effect."""
        if self.processed_at is None or self.state != "processed":
            return None
        return max(0.0, (self.processed_at - self.created_at).total_seconds())


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place in the list after which a page begins."""

    created_at: datetime
    id: str = ""

    def __str__(self) -> str:
        """Write it for an address."""
        return f"{self.created_at.astimezone(UTC).isoformat()}~{self.id}"

    @property
    def end(self) -> datetime:
        """The last moment of the page after it: without an id, all of its own moment was shown, however many."""
        return self.created_at if self.id else self.created_at - timedelta(microseconds=1)

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """
        Read it from an address.

        Raises:
            Unfit: it is none.
        """
        if not text:
            return None
        moment, _, row = text.partition("~")
        try:
            at = datetime.fromisoformat(moment)
        except ValueError as error:
            raise Unfit("This address has lost its place in the list; begin at its head.") from error
        if at.tzinfo is None or "\0" in row:
            raise Unfit("This address has lost its place in the list; begin at its head.")
        return cls(at, row)


@dataclass(frozen=True, slots=True)
class Listing:
    """
    One page of the list.

    Args:
        next: where the next page begins; None: this is the last.
        looked_back_to: the page ends there, because it looked through as many webhooks as it may.
    """

    rows: Sequence[Row]
    next: Cursor | None
    looked_back_to: datetime | None


async def read_listing(connection: Connection, chosen: Filter, after: Cursor | None) -> Listing:
    """Read the webhooks of a filter that come after a place in the list."""
    floor = await _floor(connection, chosen, after)
    bounded = replace(chosen, since=floor) if floor is not None else chosen
    choice = chosen_webhooks(bounded.states or list(State))
    place = (None, None, None) if after is None else (after.created_at, len(after.id), after.id)
    found = await connection.fetch(_PAGE.format(choice=choice), *bounded.parameters, *place, PAGE_ROWS + 1)
    rows = [Row(**row) for row in found[:PAGE_ROWS]]
    if len(found) > PAGE_ROWS:
        return Listing(rows, Cursor(rows[-1].created_at, rows[-1].id), None)
    return Listing(rows, None if floor is None else Cursor(floor), floor)


async def _floor(connection: Connection, chosen: Filter, after: Cursor | None) -> datetime | None:
    """How far back this page looks; None: as far as the filter says."""
    if chosen.ids or (chosen.states and _FOUND_BY_INDEX.issuperset(chosen.states)):
        return None
    ends = (chosen.until, None if after is None else after.end)
    until = min((at for at in ends if at is not None), default=None)
    rows = _BODIES if chosen.customer else LOOK_THROUGH
    floor: datetime | None = await connection.fetchval(QUERIES["look_back"], until, rows)
    return None if floor is None or (chosen.since is not None and floor <= chosen.since) else floor
