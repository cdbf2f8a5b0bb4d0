"""Fetch what waits, many at once, each by itself: none holds up another, and none is lost."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from reconciler import metrics
from reconciler.failures import AccountClosed, KeyMissing, KeyRefused, RightMissing, StripeUnavailable
from reconciler.stripe_api import StripeApi
from reconciler.thin.fetch import Fetcher
from reconciler.thin.waiting import Waiting, WaitingEvents
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.error_log.error_log import ErrorLog
from sluice.failures import Defect, Failure, MalformedEvent, Rejected
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.runtime import logs
from sluice.runtime.backoff import Backoff, jitter
from sluice.runtime.endless import turn

_AT_ONCE: Final = 8
_AT_MOST: Final = 100
_LOOK_SECONDS: Final = 1.0
_PAUSES: Final = Backoff(2, 300, spread=jitter(0.8))
_MAY_CHANGE = (StripeUnavailable, KeyMissing, KeyRefused)
"""Failures after which another try may do better; all others are final."""
_FOR_AN_OPERATOR = (RightMissing, AccountClosed)


@dataclass(frozen=True)
class ThinFetches:
    """Brings every thin event that waits to its end, as far as Stripe tells us."""

    waiting: WaitingEvents
    fetcher: Fetcher
    errors: ErrorLog

    @classmethod
    def over(cls, database: Database, apis: Mapping[bool, StripeApi], errors: ErrorLog) -> "ThinFetches":
        """The fetches of one database's thin events."""
        waiting = WaitingEvents(database)
        return cls(waiting, Fetcher(apis, waiting.is_recorded), errors)

    async def run(self) -> None:
        """For ever: fetch what is due, and look again soon."""
        while True:
            turn()
            if not await self.run_once():
                await asyncio.sleep(_LOOK_SECONDS)

    async def run_once(self) -> int:
        """Try what is due, up to a hundred; how many were."""
        try:
            due = await self.waiting.due(_AT_MOST)
        except DATABASE_ERRORS as error:
            logs.get_logger().warning("thin_events_unknown", reason=type(error).__name__)
            return 0
        places = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for one in due:
                group.create_task(self._take(one, places))
        return len(due)

    async def _take(self, one: Waiting, places: asyncio.Semaphore) -> None:
        async with places:
            try:
                await self._end_or_wait(one)
            except DATABASE_ERRORS as error:
                logs.get_logger().warning("thin_event_waits", event_id=one.stripe_event_id, reason=type(error).__name__)

    async def _end_or_wait(self, one: Waiting) -> None:
        try:
            thin = replace(read_event(one.body or b""), stripe_event_id=one.stripe_event_id)
        except MalformedEvent:  # its body was deleted since
            await self._give_up(one.stripe_event_id, None, "unreadable", "Its body is not there any more.")
            return
        try:
            fact = await self.fetcher.fetch(thin)
        except _MAY_CHANGE as failure:
            await self._wait(one, thin, failure)
        except Rejected as failure:
            is_for_operator = isinstance(failure, _FOR_AN_OPERATOR)
            await self._give_up(thin.stripe_event_id, thin, failure.code, str(failure), is_for_operator=is_for_operator)
        except DATABASE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  no event may stop the others
            await self._wait(one, thin, Defect(f"{type(error).__name__} while it was fetched"))
        else:
            await self._end(thin, fact)

    async def _end(self, thin: StripeEvent, fact: StripeEvent | None) -> None:
        filled = await self.waiting.end_fetched(thin.stripe_event_id, fact)
        if filled.refused:
            reason = f"PostgreSQL does not take what Stripe tells of it ({filled.refused[0].reason})."
            await self._give_up(thin.stripe_event_id, thin, "refused", reason, is_for_operator=True)
        else:
            metrics.THIN_EVENTS.labels(thin.mode, "fetched" if filled.new else "known").inc()

    async def _wait(self, one: Waiting, thin: StripeEvent, failure: Failure) -> None:
        metrics.THIN_EVENTS.labels(thin.mode, "waits").inc()
        logs.get_logger().warning("thin_event_waits", event_id=one.stripe_event_id, reason=failure.code)
        await self.waiting.wait(one.stripe_event_id, str(failure), seconds=_PAUSES.seconds(one.tries + 1))

    async def _give_up(
        self, event_id: str, thin: StripeEvent | None, code: str, reason: str, *, is_for_operator: bool = False
    ) -> None:
        """End it visibly: it is no death, for nothing of ours failed."""
        await self.waiting.end_unfetchable(event_id, reason)
        if thin is not None:
            metrics.THIN_EVENTS.labels(thin.mode, "unfetchable").inc()
        logs.get_logger().warning("thin_event_unfetchable", event_id=event_id, reason=code)
        told = {} if thin is None else {"event_type": thin.type, "account": thin.account}
        self.errors.webhook(
            f"The thin event {event_id} cannot be fetched from Stripe: {reason}",
            severity="high" if is_for_operator else "warning",
            stripe_event_id=event_id,
            request_data={**told, "reason": code},
        )
