"""
Find payments that ``events`` rows move: rows that appear, change or vanish, without a webhook and without a trigger.

Each look takes the payments that have waited for the shortest time, then some of the others in turn, and some of those
that rows show. So a row that is written soon after its webhook counts within one look, whatever else waits, and every
other change within one turn through the table. The cost of a look does not depend on the size of any table.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from sluice.payments.recompute import Node
from sluice.postgres.sql import columns, load_queries

if TYPE_CHECKING:
    from asyncpg import Record

    from sluice.registry import Transaction

QUERIES = load_queries(__file__, "row_watch.sql")

_OpenPlace: TypeAlias = tuple[datetime, str, str]
_BoundPlace: TypeAlias = tuple[str, str, int, str]
_FIRST_OPEN: _OpenPlace = (datetime.min.replace(tzinfo=UTC), "", "")
_FIRST_BOUND: _BoundPlace = ("", "", -1, "")


@dataclass
class RowWatch:
    """Remembers how far it has looked; in memory alone, for a turn begun anew misses nothing."""

    newest: int = 1_000
    """Of the payments that a row may move, how many of the newest are looked at each time."""
    in_turn: int = 1_000
    """How many of the others, and of those that rows show, are looked at each time."""
    _open_place: _OpenPlace = field(default=_FIRST_OPEN)
    _bound_place: _BoundPlace = field(default=_FIRST_BOUND)

    async def take(self, tx: "Transaction", limit: int, leave_out: Collection[Node] = ()) -> Sequence[Node]:
        """Lock payments that have to be settled again: at most so many, and none of these."""
        if not await tx.fetchval(QUERIES["take_turn"]):
            return ()
        found = {*await self._movable(tx, limit, leave_out), *await self._unshown(tx, limit, leave_out)}
        locked = await tx.fetch(QUERIES["lock"], *columns(sorted(found)[:limit], 2)) if found else ()
        return [_node(row) for row in locked]

    async def _movable(self, tx: "Transaction", limit: int, leave_out: Collection[Node]) -> Collection[Node]:
        newest = await tx.fetch(QUERIES["find_newest"], self.newest)
        others: Sequence[Record] = ()
        if len(newest) == self.newest:  # else these are all
            others = await tx.fetch(QUERIES["find_next"], *self._open_place, self.in_turn)
        found = await _among(tx, "find_movable", [*newest, *others], leave_out)
        if len(found) <= limit:  # else the rest of them is found from the same place
            last = others[-1] if len(others) == self.in_turn else None
            self._open_place = (last["opened_at"], last["scope"], last["payment_id"]) if last else _FIRST_OPEN
        return found

    async def _unshown(self, tx: "Transaction", limit: int, leave_out: Collection[Node]) -> Collection[Node]:
        bound = await tx.fetch(QUERIES["find_bound"], *self._bound_place, self.in_turn)
        found = await _among(tx, "find_unshown", bound, leave_out)
        if len(found) <= limit:
            last = bound[-1] if len(bound) == self.in_turn else None
            place = (last["events_id"], last["scope"], last["rank"], last["payment_id"]) if last else _FIRST_BOUND
            self._bound_place = place
        return found


async def _among(
    tx: "Transaction", query: str, rows: Sequence["Record"], leave_out: Collection[Node]
) -> Collection[Node]:
    nodes = {_node(row) for row in rows} - set(leave_out)
    if not nodes:
        return ()
    return {_node(row) for row in await tx.fetch(QUERIES[query], *columns(sorted(nodes), 2))}


def _node(row: "Record") -> Node:
    return Node(row["scope"], row["payment_id"])
