"""From where on the indexes of due rows are read."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_SLACK = timedelta(seconds=10)
_WHOLE_EVERY_SECONDS = 30


@dataclass
class Watermark:
    """
    The places of the first open rows, so that no look walks over what was processed since the oldest transaction began.

    A row may be committed a little behind the mark, hence the slack; every half minute the whole index is read.
    """

    untried: datetime = LONG_AGO
    tried: datetime = LONG_AGO
    clock: Callable[[], float] = time.monotonic
    _whole_at: float = field(default=float("-inf"))

    def begin(self) -> bool:
        """Begin a look; whether it reads all there is."""
        if self.clock() < self._whole_at:
            return False
        self._whole_at = self.clock() + _WHOLE_EVERY_SECONDS
        self.untried = self.tried = LONG_AGO
        return True

    def move(self, untried_from: datetime | None, tried_from: datetime | None, asked_at: datetime) -> None:
        """After a look at ``asked_at``: where the first rows were, None if there are none."""
        self.untried = min(untried_from or asked_at, asked_at) - _SLACK
        self.tried = min(tried_from or asked_at, asked_at) - _SLACK
