"""
Limits on what organisers may hold of what all use; the rest is the platform's.

All organisers together may hold a half of everything. One may hold an eighth, and no more than what its kind has left:
so while few want much, each gets its eighth; the more want it, the less each gets; and something is always left for one
who comes new. Nothing is set aside while there is room.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ingest import metrics
from ingest.errors import TooMuchAtOnce

_EACH = 1 / 8
_ALL = 1 / 2
STRANGERS = ""
"""Requests to ids that are not known yet share what one organiser has: invented ids are for nothing."""


class Share:
    """
    One resource: rows, bytes, requests.

    Args:
        total: how much of it there is.
        resource: its name in ``webhook_organiser_over_share_total``.
        least: one piece; who holds none gets one as long as the organisers have any left.
    """

    def __init__(self, total: float, resource: str, *, least: float = 1) -> None:
        self._each = total * _EACH
        self._all = max(total * _ALL, least)
        self._resource = resource
        self._held: dict[str, float] = {}
        self._held_by_all = 0.0

    def take(self, organiser: str, amount: float) -> None:
        """
        Hold more.

        Raises:
            TooMuchAtOnce: it would be more than its share; nothing changed.
        """
        left, held = self._all - self._held_by_all, self._held.get(organiser, 0)
        if amount > left or (held and held + amount > min(self._each, left)):
            metrics.OVER_SHARE.labels(self._resource).inc()
            raise TooMuchAtOnce
        self._held[organiser] = held + amount
        self._held_by_all += amount

    def give_back(self, organiser: str, amount: float) -> None:
        """Hold less."""
        self._held_by_all -= amount
        held = self._held.pop(organiser, 0) - amount
        if held > 0:
            self._held[organiser] = held


@dataclass(slots=True)
class Place:
    """The share that one request of an organiser holds, from its head to its answer."""

    organiser: str
    body_bytes: Share
    held: int = 0

    def grow(self, body_bytes: int) -> None:
        """More of its body has come; raises TooMuchAtOnce."""
        self.body_bytes.take(self.organiser, body_bytes)
        self.held += body_bytes


class CpuShare:
    """The time that organisers' webhooks may take of each second to be verified and read."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock = clock
        self._cpu = cpu
        self._second = 0
        self._spent: dict[str, float] = {}
        self._spent_by_all = 0.0

    def check(self, organiser: str) -> None:
        """Raise TooMuchAtOnce where it has used up its share of this second."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._spent, self._spent_by_all = second, {}, 0.0
        if self._spent.get(organiser, 0) >= min(2 * _EACH, _ALL - self._spent_by_all):
            metrics.OVER_SHARE.labels("cpu").inc()
            raise TooMuchAtOnce

    @contextmanager
    def spending(self, organiser: str) -> Iterator[None]:
        """Charge it with what the block takes."""
        began = self._cpu()
        try:
            yield
        finally:
            spent = self._cpu() - began
            self._spent[organiser] = self._spent.get(organiser, 0) + spent
            self._spent_by_all += spent


class InFlight:
    """Organisers' requests between head and answer: read, verified, waiting for their secret or for PostgreSQL."""

    def __init__(self, *, requests: int, body_bytes: int, cpu: CpuShare) -> None:
        self._requests = Share(requests, "requests")
        self._bytes = Share(body_bytes, "bytes")
        self._cpu = cpu

    @contextmanager
    def enter(self, organiser: str) -> Iterator[Place]:
        """
        A place for one request, until the block ends.

        Raises:
            TooMuchAtOnce: the organiser has no share left, of requests or of this second's CPU time.
        """
        self._cpu.check(organiser)
        self._requests.take(organiser, 1)
        place = Place(organiser, self._bytes)
        try:
            yield place
        finally:
            self._requests.give_back(organiser, 1)
            if place.held:
                self._bytes.give_back(organiser, place.held)
