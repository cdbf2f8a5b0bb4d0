"""
Rows as they were and as a transaction that is not committed would leave them.

The transaction holds the locks of what it has written, so another connection reads each such row as it was. A row that
this other connection sees change meanwhile is none of the transaction's.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import orjson

from sluice.operations.diff import Change, ColumnChange, JsonValue, RowChange, TableCount
from sluice.postgres.pool import Connection, Record
from sluice.postgres.sql import columns, load_queries

QUERIES = load_queries(__file__, "rows.sql")
MOST_EVENTS_ROWS = 5_000
"""Where ``events`` has no more rows, all of them are compared: a handler may write to any."""
_OWN = ("payment", "payment_fact", "invoice", "subscription", "thin_fetch", "webhook_logs", "events")
_EVENTS_ROWS = """
SELECT ARRAY[row.id::text] AS key, to_jsonb(row)::text AS told
FROM (SELECT {columns} FROM events AS e{join}) AS row
"""
_BY_KEY = " JOIN unnest($1::text[]) AS n (key) ON e.id = sluice_event_key(n.key)"

Place: TypeAlias = tuple[str, tuple[str, ...]]
"""Table and key."""
Document: TypeAlias = Mapping[str, JsonValue]


class Counts(NamedTuple):
    """Rows of one table that were written."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    def less(self, other: "Counts") -> "Counts":
        """How much more; never below nothing."""
        return Counts(*(max(0, mine - theirs) for mine, theirs in zip(self, other, strict=True)))


Written: TypeAlias = Mapping[str, Counts]
"""By table."""


@dataclass(frozen=True)
class Keys:
    """Rows that a transaction may have written."""

    stripe_event_ids: Sequence[str]
    payments: AbstractSet[tuple[str, str]] = frozenset()
    """And invoices and subscriptions, each of which the ledger knows by its id."""
    events_ids: AbstractSet[str] = frozenset()


@dataclass(frozen=True)
class EventsTable:
    """Part of ``events`` that we may read."""

    names: Sequence[str]
    about: float
    """About how many rows it has."""

    def query(self, *, is_whole: bool) -> str:
        """SQL that gives the rows."""
        quoted = ", ".join('e."' + name.replace('"', '""') + '"' for name in self.names)
        return _EVENTS_ROWS.format(columns=quoted, join="" if is_whole else _BY_KEY)


@dataclass
class Tally:
    """Counts of what a transaction has written, less what it has undone."""

    connection: Connection
    _before: Written = field(default_factory=dict)
    _undone: Counter[tuple[str, int]] = field(default_factory=Counter)

    async def begin(self) -> None:
        """Count from here."""
        self._before = await count_written(self.connection)

    async def undone(self, since: Written) -> None:
        """Leave out what was written since then, and rolled back to a savepoint: PostgreSQL counts it all the same."""
        for table, counts in _less(await count_written(self.connection), since).items():
            self._undone.update({(table, place): count for place, count in enumerate(counts)})

    async def read(self) -> Written:
        """Rows that were written."""
        written = _less(await count_written(self.connection), self._before)
        undone = {table: Counts(*(self._undone[table, place] for place in range(3))) for table in written}
        return _less(written, undone)


async def count_written(connection: Connection) -> Written:
    """Read PostgreSQL's counts of this session."""
    rows = await connection.fetch(QUERIES["count_written"])
    return {row["table_name"]: Counts(row["inserted"], row["updated"], row["deleted"]) for row in rows}


async def find_keys(connection: Connection, stripe_event_ids: Sequence[str]) -> Keys:
    """Find the rows that webhooks are about, as this connection sees them."""
    found = await connection.fetch(QUERIES["find_payments"], stripe_event_ids)
    payments = {(row["scope"], row["payment_id"]) for row in found}
    rows = await connection.fetch(QUERIES["find_rows_of_events"], *columns(sorted(payments), 2)) if payments else ()
    return Keys(stripe_event_ids, payments, {row["events_id"] for row in rows})


def joined(keys: Iterable[Keys]) -> Keys:
    """All of these."""
    keys = list(keys)
    return Keys(
        list(dict.fromkeys(key for one in keys for key in one.stripe_event_ids)),
        frozenset().union(*(one.payments for one in keys)),
        frozenset().union(*(one.events_ids for one in keys)),
    )


async def read_events_table(connection: Connection) -> EventsTable:
    """Read which columns of ``events`` there are."""
    rows = await connection.fetch(QUERIES["columns_of_events"])
    return EventsTable([row["name"] for row in rows], rows[0]["about"] if rows else 0)


async def read_rows(
    connection: Connection, keys: Keys, events: EventsTable, *, all_events: bool
) -> Mapping[Place, Document]:
    """Read these rows, as this connection sees them."""
    found: dict[Place, Document] = {}
    payments = columns(sorted(keys.payments), 2)
    for table, arguments in (
        ("payment", payments),
        ("invoice", payments),
        ("subscription", payments),
        ("payment_fact", [keys.stripe_event_ids, sorted(keys.events_ids)]),
        ("thin_fetch", [keys.stripe_event_ids]),
    ):
        found.update(_documents(table, await connection.fetch(QUERIES[table], *arguments)))
    own = () if all_events else (sorted(keys.events_ids),)
    found.update(_documents("events", await connection.fetch(events.query(is_whole=all_events), *own)))
    return found


def changes(
    before: Mapping[Place, Document], after: Mapping[Place, Document], again: Mapping[Place, Document]
) -> Sequence[RowChange]:
    """
    Compare rows.

    Args:
        before: as another connection saw them first.
        after: as the transaction sees them.
        again: as the other connection saw them last.
    """
    places = sorted(place for place in before.keys() | after.keys() if before.get(place) == again.get(place))
    told = (_change(place, before.get(place), after.get(place)) for place in places)
    return [change for change in told if change is not None]


def other_tables(written: Written, rows: Sequence[RowChange], *, explained: int | None) -> Sequence[TableCount]:
    """
    Count what no row tells of.

    Args:
        explained: how many updates of ``events`` the known rows may account for; None: every row was compared.
    """
    counts = {table: count for table, count in written.items() if table not in _OWN and any(count)}
    if explained is not None:
        found = Counter(row.change for row in rows if row.table == "events")
        known = Counts(found[Change.INSERTED], max(explained, found[Change.UPDATED]), found[Change.DELETED])
        more = written.get("events", Counts()).less(known)
        counts.update({"events": more} if any(more) else {})
    return [TableCount(table, *counts[table]) for table in sorted(counts)]


def _change(place: Place, before: Document | None, after: Document | None) -> RowChange | None:
    table, key = place
    names = [*(before or {}), *(name for name in after or {} if name not in (before or {}))]
    changed = [
        ColumnChange(name, (before or {}).get(name), (after or {}).get(name))
        for name in names
        if (before or {}).get(name) != (after or {}).get(name)
    ]
    if before is not None and after is not None and not changed:
        return None
    kind = Change.INSERTED if before is None else Change.DELETED if after is None else Change.UPDATED
    label = (after or before or {}).get("name") if table == "events" else None
    return RowChange(table, list(key), kind, changed, None if label is None else str(label))


def _documents(table: str, rows: Collection[Record]) -> Mapping[Place, Document]:
    return {(table, tuple(row["key"])): orjson.loads(row["told"]) for row in rows}


def _less(counts: Written, others: Written) -> Written:
    return {table: count.less(others.get(table, Counts())) for table, count in counts.items()}
