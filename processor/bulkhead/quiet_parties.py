"""Look in PostgreSQL for a party that waits behind the floods of others."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "quiet_parties.sql")
_NEWEST: Final = 5_000
_PAUSE_SECONDS: Final = 1.0
_REST: Final = 20
"""Times what a look took: looks have a twentieth of the time at most."""


@dataclass
class QuietParties:
    """Remembers when it may look again."""

    database: Database
    clock: Callable[[], float] = time.monotonic
    _not_before: float = float("-inf")

    async def one_waits(self, loud: Collection[str]) -> bool:
        """Whether a party that is not among the loud ones was found just now; False while it is too early to look."""
        began = self.clock()
        if began < self._not_before:
            return False
        try:
            return bool(await self.database.fetch(QUERIES["waiting"], list(loud), _NEWEST, within_seconds=1))
        except DATABASE_ERRORS:
            return False
        finally:
            ended = self.clock()
            self._not_before = ended + max(_PAUSE_SECONDS, _REST * (ended - began))
