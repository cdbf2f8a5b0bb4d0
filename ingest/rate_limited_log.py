"""
Log lines that any client on the internet can cause: at most a few a second of each kind, the rest only counted.

What one organiser causes is counted by itself, so that its flood silences neither another's lines nor the platform's.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from sluice.runtime import logs

Field: TypeAlias = str | int | float | bool | None

LINES_PER_SECOND = 5
ORGANISER_LINES = 5
ORGANISER_SECONDS = 10
ORGANISERS_LINES_PER_SECOND = 50
_ORGANISERS_KEPT = 1_000


class RateLimitedLog:
    """A log in which each kind of line has a budget of its own for every second, and each organiser for ten."""

    def __init__(self, *, per_second: int = LINES_PER_SECOND, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._spent: dict[str, tuple[int, int]] = {}
        self._spent_by: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def may(self, kind: str, *, per_second: int | None = None) -> bool:
        """Whether one more of this kind is within this second's budget; counts it."""
        second = int(self._clock())
        since, spent = self._spent.get(kind, (second, 0))
        spent = spent + 1 if since == second else 1
        self._spent[kind] = (second, spent)
        return spent <= (per_second or self._per_second)

    def may_of(
        self, organiser: str, kind: str, *, lines: int = ORGANISER_LINES, seconds: float = ORGANISER_SECONDS
    ) -> bool:
        """
        Whether one more of this kind is within an organiser's budget, and within that of all of them; counts it.

        Args:
            organiser: a row that exists; what strangers invent is one organiser together.
        """
        now = self._clock()
        since, spent = self._spent_by.pop((kind, organiser), (now, 0))
        if now - since >= seconds:
            since, spent = now, 0
        self._spent_by[kind, organiser] = (since, spent + 1)
        if len(self._spent_by) > _ORGANISERS_KEPT:
            self._spent_by.popitem(last=False)
        return spent < lines and self.may(f"{kind} of organisers", per_second=ORGANISERS_LINES_PER_SECOND)

    def warn(self, name: str, **fields: Field) -> None:
        """Log a warning, if its kind has budget left."""
        if self.may(name):
            logs.get_logger().warning(name, **fields)

    def warn_of(self, organiser: str, name: str, **fields: Field) -> None:
        """Log a warning about an organiser's webhook, if the organiser has budget left."""
        if self.may_of(organiser, name):
            logs.get_logger().warning(name, tenant=organiser or None, **fields)

    def failed(self, name: str, error: BaseException) -> None:
        """Log what went wrong by its class and SQLSTATE alone: messages of PostgreSQL quote values."""
        if self.may(name):
            sqlstate = getattr(error, "sqlstate", None)
            logs.get_logger().error(name, error=type(error).__name__, sqlstate=sqlstate)


RATE_LIMITED_LOG = RateLimitedLog()
