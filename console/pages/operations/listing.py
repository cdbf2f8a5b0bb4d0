"""Read operations with how far each is, in a time that no number of items changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from sluice.operations.book import Progress
from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "listing.sql")
PAGE_ROWS = 30
LOOK_THROUGH = 1_000
"""Operations, the newest, among which one that still runs is looked for."""
_OPEN_AT_MOST = 2_000
_SILENT_SECONDS = 60
_LEAST_DONE = 20
"""Items that must be done before the rest is told in time."""


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One operation.

    Args:
        first_open: position of the first item that is not done.
        open_counted: items that are not done, counted to a limit.
        latest_at: when the newest item was done, of those before ``first_open``.
    """

    id: int
    verb: str
    handler: str | None
    filter: Mapping[str, object]
    reason: str
    person: str
    login: str
    rate: int | None
    undoes: int | None
    undone_verb: str | None
    started_at: datetime
    ended_at: datetime | None
    cancelled_at: datetime | None
    cancelled_by: str | None
    items: int
    open_counted: int
    first_open: int | None
    latest_at: datetime | None

    @property
    def progress(self) -> Progress:
        """How far it is."""
        if self.ended_at is not None:
            return Progress.DONE
        return Progress.OPEN if self.cancelled_at is None else Progress.CANCELLED

    @property
    def done(self) -> int:
        """Items that are done; where very many are not, those before the first of these."""
        if self.open_counted <= _OPEN_AT_MOST:
            return self.items - self.open_counted
        return (self.first_open or 1) - 1

    @property
    def is_open(self) -> bool:
        """Whether it may still go on."""
        return self.progress is Progress.OPEN

    @property
    def is_of_errors(self) -> bool:
        """Whether its items are rows of ``error_logs``."""
        return "resolve" in (self.verb, self.undone_verb)

    @property
    def silent_seconds(self) -> float | None:
        """For how long no item was done of one that is open; None: for no time worth telling."""
        if not self.is_open:
            return None
        silent = (datetime.now(UTC) - (self.latest_at or self.started_at)).total_seconds()
        return silent if silent > _SILENT_SECONDS else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at the pace so far; None: that is unknown."""
        if not self.is_open or self.latest_at is None or self.done < _LEAST_DONE or self.silent_seconds is not None:
            return None
        left = self.items - self.done
        so_far = (self.latest_at - self.started_at).total_seconds() / self.done * left
        return so_far if self.rate is None else max(so_far, left / self.rate)

    @property
    def asked(self) -> Sequence[tuple[str, str]]:
        """Names and values by which its set was chosen."""
        return [(name.replace("_", " "), _words(value)) for name, value in self.filter.items()]


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of operations."""

    running: Sequence[Operation]
    past: Sequence[Operation]
    next: int | None
    """Number before which the next page begins; None: this is the last."""


async def read_listing(connection: Connection, before: int | None) -> Listing:
    """Read operations before a number, the newest first; those that run come by themselves on the first page."""
    found = await _read(connection, before, PAGE_ROWS + 1)
    rows = found[:PAGE_ROWS]
    following = rows[-1].id if len(found) > PAGE_ROWS else None
    if before is not None:
        return Listing((), rows, following)
    ids = [row["id"] for row in await connection.fetch(QUERIES["running"], LOOK_THROUGH, PAGE_ROWS)]
    known = {one.id: one for one in rows}
    running = [known[number] if number in known else await read_operation(connection, number) for number in ids]
    return Listing([one for one in running if one is not None], [one for one in rows if not one.is_open], following)


async def read_operation(connection: Connection, number: int) -> Operation | None:
    """Read one; None: there is none of this number."""
    found = await _read(connection, number + 1, 1)
    return found[0] if found and found[0].id == number else None


async def undone_by(connection: Connection, number: int) -> Sequence[int]:
    """Read the numbers of the operations that undo one."""
    return [row["id"] for row in await connection.fetch(QUERIES["undone_by"], number, LOOK_THROUGH)]


async def _read(connection: Connection, before: int | None, at_most: int) -> Sequence[Operation]:
    rows = await connection.fetch(QUERIES["newest"], before, at_most, _OPEN_AT_MOST + 1)
    return [Operation(**{**row, "filter": orjson.loads(row["filter"])}) for row in rows]


def _words(value: object) -> str:
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)
