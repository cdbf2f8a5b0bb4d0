"""Log lines that anybody on the internet can cause: at most a few a second of each kind, the rest only counted."""

import time
from collections.abc import Callable
from typing import TypeAlias

from sluice.chassis import logs

Field: TypeAlias = str | int | float | bool | None

LINES_PER_SECOND = 5


class Notices:
    """A log in which each kind of line has a budget of its own for every second."""

    def __init__(self, *, per_second: int = LINES_PER_SECOND, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._spent: dict[str, tuple[int, int]] = {}

    def may(self, kind: str, *, per_second: int | None = None) -> bool:
        """Whether one more of this kind is within this second's budget; counts it."""
        second = int(self._clock())
        since, spent = self._spent.get(kind, (second, 0))
        spent = spent + 1 if since == second else 1
        self._spent[kind] = (second, spent)
        return spent <= (per_second or self._per_second)

    def warn(self, name: str, **fields: Field) -> None:
        """Log a warning, if its kind has budget left."""
        if self.may(name):
            logs.get_logger().warning(name, **fields)

    def failed(self, name: str, error: BaseException) -> None:
        """Log what went wrong by its class and SQLSTATE alone: messages of PostgreSQL quote values."""
        if self.may(name):
            sqlstate = getattr(error, "sqlstate", None)
            logs.get_logger().error(name, error=type(error).__name__, sqlstate=sqlstate)


NOTICES = Notices()
