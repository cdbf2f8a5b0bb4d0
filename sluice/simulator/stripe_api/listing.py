"""Page through a list: newest first, a page at a time, by the id of the last one seen."""

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sluice.contract.document import JsonObject
from sluice.simulator.stripe_api.answers import not_found
from sluice.simulator.stripe_api.query import Wanted


@dataclass(frozen=True, slots=True)
class Entry:
    """One event or object as a list gives it."""

    id: str
    created: int
    document: JsonObject
    type: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, newest first."""

    entries: Sequence[Entry]
    has_more: bool


class Listing(Protocol):
    """Whatever can be listed and looked up."""

    def page(self, wanted: Wanted, *, oldest: int) -> Page:
        """One page of what was created at ``oldest`` or later. Raises Refusal."""
        ...

    def get(self, entry_id: str, *, oldest: int) -> Entry | None:
        """One of them; None: there is none, or it is too old."""
        ...


class StoredListing:
    """A list that is kept in memory."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._by_age: list[tuple[int, int, Entry]] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._by_age)

    def __iter__(self) -> Iterator[Entry]:
        return (entry for *_, entry in self._by_age)

    def put(self, entry: Entry) -> None:
        """Add one, or replace the one of that id; what came later in one second is newer."""
        self.remove(entry.id)
        place = (entry.created, next(self._numbers))
        self._places[entry.id] = place
        bisect.insort(self._by_age, (*place, entry), key=lambda kept: kept[:2])

    def remove(self, entry_id: str) -> None:
        """Forget one, as if it had never been."""
        if (place := self._places.pop(entry_id, None)) is not None:
            del self._by_age[self._index(place)]

    def get(self, entry_id: str, *, oldest: int) -> Entry | None:
        """One of them; None: there is none, or it is too old."""
        place = self._places.get(entry_id)
        if place is None or place[0] < oldest:
            return None
        return self._by_age[self._index(place)][2]

    def page(self, wanted: Wanted, *, oldest: int) -> Page:
        """One page of what was created at ``oldest`` or later. Raises Refusal."""
        low = self._first_of(max(oldest, wanted.created_from or 0))
        high = len(self._by_age) if wanted.created_before is None else self._first_of(wanted.created_before)
        if wanted.ending_before is not None:
            low = max(low, self._cursor(wanted.ending_before, "ending_before", oldest) + 1)
            return self._towards_newer(wanted, low, high)
        if wanted.starting_after is not None:
            high = min(high, self._cursor(wanted.starting_after, "starting_after", oldest))
        found = self._taken((self._by_age[index][2] for index in range(high - 1, low - 1, -1)), wanted)
        return Page(found[: wanted.limit], len(found) > wanted.limit)

    def _towards_newer(self, wanted: Wanted, low: int, high: int) -> Page:
        """The page next to its cursor, which is at its older end."""
        found = self._taken((self._by_age[index][2] for index in range(low, high)), wanted)
        return Page(found[: wanted.limit][::-1], len(found) > wanted.limit)

    def _taken(self, entries: Iterator[Entry], wanted: Wanted) -> Sequence[Entry]:
        """One more than a page, where there are so many."""
        found: list[Entry] = []
        for entry in entries:
            if wanted.takes_type(entry.type):
                found.append(entry)
            if len(found) > wanted.limit:
                break
        return found

    def _cursor(self, entry_id: str, param: str, oldest: int) -> int:
        if self.get(entry_id, oldest=oldest) is None:
            raise not_found(self._kind, entry_id, param=param, status=400)
        return self._index(self._places[entry_id])

    def _first_of(self, second: int) -> int:
        return bisect.bisect_left(self._by_age, second, key=lambda kept: kept[0])

    def _index(self, place: tuple[int, int]) -> int:
        return bisect.bisect_left(self._by_age, place, key=lambda kept: kept[:2])
