"""Watch whether JetStream takes what is published."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_REFUSES_SECONDS = 2.0


@dataclass
class Publishing:
    """Remembers refusals, or silence, since a message was stored last."""

    clock: Callable[[], float] = time.monotonic
    _first_at: float | None = field(default=None)
    _last_at: float = field(default=0)

    def succeeded(self) -> None:
        """A message was stored, or had been before."""
        self._first_at = None

    def failed(self) -> None:
        """A message was refused, or not answered."""
        self._last_at = self.clock()
        if self._first_at is None:
            self._first_at = self._last_at

    @property
    def refused_seconds(self) -> float:
        """From the first to the latest refusal since a message was stored; 0 after one alone, which may be chance."""
        return 0 if self._first_at is None else self._last_at - self._first_at

    @property
    def is_refused(self) -> bool:
        """Whether it is no chance any more."""
        return self.refused_seconds >= _REFUSES_SECONDS
