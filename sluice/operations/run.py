"""Carry an operation out: each item's change and its record commit together, so that a killed run can go on."""

import asyncio
from collections.abc import Callable
from typing import Final

from sluice.inbox.operations import AnyConnection, Step, carry_out
from sluice.operations.book import QUERIES, rate_of

_BATCH: Final = 100
_LOOKS: Final = 40
"""How often the items are gone through whose rows another transaction holds."""
_LOOK_AGAIN_SECONDS: Final = 0.25
_BATCHES_A_SECOND: Final = 4
"""So many make a rate that is even enough."""


class Runner:
    """Carries one operation out, batch by batch; several may work on the same one."""

    def __init__(self, session: AnyConnection, operation_id: int, on_progress: Callable[[int], None]) -> None:
        """
        Work on an operation.

        Args:
            on_progress: called after each commit with the number of items that it ended.
        """
        self._session = session
        self._id = operation_id
        self._on_progress = on_progress
        self._position = 0
        self._looks = 0

    async def run(self) -> None:
        """Go on until every item is done, or the operation is cancelled, or others have the rest in hand."""
        clock = asyncio.get_running_loop()
        rate = await rate_of(self._session, self._id)
        while self._looks <= _LOOKS:
            began = clock.time()
            step = await self._commit_batch(rate)
            if not step.is_open:
                return
            if step.last_position is not None:
                self._position = step.last_position
                self._on_progress(step.ended)
                pause = 0.0 if rate is None else step.ended / rate
                await asyncio.sleep(max(0.0, began + pause - clock.time()))
            elif await self._session.fetchval(QUERIES["end"], self._id):
                return
            else:
                self._position, self._looks = 0, self._looks + 1
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _commit_batch(self, rate: int | None) -> Step:
        """End some items in one transaction."""
        size = _BATCH if rate is None else min(_BATCH, max(1, rate // _BATCHES_A_SECOND))
        async with self._session.transaction(isolation="read_committed"):
            return await carry_out(
                self._session, self._id, after=self._position, at_most=size, gives_up=self._looks == _LOOKS
            )
