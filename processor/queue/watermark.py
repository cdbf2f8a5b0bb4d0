"""From where on the indexes of due rows are read."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_SLACK = timedelta(seconds=10)
_RECENT = timedelta(minutes=10)
_WHOLE_EVERY_SECONDS = 300


@dataclass
class Watermark:
    """
    The places of the first open rows, so that no look walks over what was processed since the oldest transaction began.

    A row may be committed a little behind the mark, hence the slack; every five minutes the whole index is read. Should
    that take longer than a statement may, looks begin with what is recent.
    """

    untried: datetime = LONG_AGO
    tried: datetime = LONG_AGO
    clock: Callable[[], float] = time.monotonic
    _whole_at: float = field(default=float("-inf"))
    _is_whole: bool = False

    def begin(self) -> bool:
        """Begin a look; whether it reads all there is."""
        self._is_whole = self.clock() >= self._whole_at
        if self._is_whole:
            self.untried = self.tried = LONG_AGO
        return self._is_whole

    def move(self, untried_from: datetime | None, tried_from: datetime | None, asked_at: datetime) -> None:
        """After a look at ``asked_at``: where the first rows were, None if there are none."""
        self._note_whole()
        self.untried = min(untried_from or asked_at, asked_at) - _SLACK
        self.tried = min(tried_from or asked_at, asked_at) - _SLACK

    def failed(self) -> None:
        """After a look that came to no end."""
        if self._is_whole:
            self._note_whole()
            self.untried = self.tried = datetime.now(UTC) - _RECENT

    def _note_whole(self) -> None:
        if self._is_whole:
            self._whole_at = self.clock() + _WHOLE_EVERY_SECONDS
