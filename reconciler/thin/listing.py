"""
Find thin events that never arrived, in the list of Stripe's second API: those that no snapshot event tells of.

A thin event of the first API (``v1.…``) has a snapshot twin, which a pass finds. The others are few, so their list is
looked at less often than that of snapshot events, and begins anew where it was interrupted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from reconciler import metrics
from reconciler.accounts import Account
from reconciler.failures import StripeUnavailable
from reconciler.listed import Refused, as_body
from reconciler.record import RECONCILE, record
from reconciler.stripe_api import StripeApi
from sluice.contract.document import Json, JsonObject
from sluice.contract.envelope import read_event
from sluice.contract.event import PLATFORM, StripeEvent
from sluice.contract.thin import GENERATION_FAILURE, OF_SECOND_API, PING
from sluice.error_log.error_log import ErrorLog
from sluice.failures import Failure, MalformedEvent
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.sql import load_queries
from sluice.runtime import logs
from sluice.runtime.endless import turn

QUERIES = load_queries(__file__, "listing.sql")
EVENTS = "/v2/core/events"
_PAGE: Final = 100
_TYPES_AT_ONCE: Final = 20


@dataclass(frozen=True)
class ThinLists:
    """
    Looks at the list of each account now and then.

    Args:
        holder: of the lease, in whose name the place is kept.
        types: those that handlers take, asked for once.
        first_seconds: how far back the first look begins.
    """

    database: Database
    apis: Mapping[bool, StripeApi]
    errors: ErrorLog
    holder: str
    types: Callable[[], Awaitable[Collection[str]]]
    every_seconds: float
    first_seconds: float
    overlap_seconds: int

    async def run(self) -> None:
        """For ever: look at each account, one after the other."""
        types = worth_asking(await self.types())
        while True:
            turn()
            await self.run_once(types)
            await asyncio.sleep(self.every_seconds)

    async def run_once(self, types: Sequence[str]) -> None:
        """Look at each account that is listed; none holds up another for longer than its own requests take."""
        try:
            rows = await self.database.fetch(QUERIES["accounts"], self.first_seconds)
        except DATABASE_ERRORS as error:
            logs.get_logger().warning("thin_events_not_listed", reason=type(error).__name__)
            return
        for row in rows:
            name = row["account"]
            account = Account(row["livemode"], None if name == PLATFORM else name)
            await self._try(account, types, begins_at=row["listed_until"] - self.overlap_seconds)

    async def _try(self, account: Account, types: Sequence[str], *, begins_at: int) -> None:
        try:
            await self._look(account, types, begins_at)
        except Failure as failure:
            outcome, reason = failure.code, str(failure)
        except DATABASE_ERRORS as error:
            outcome, reason = "database_unavailable", type(error).__name__
        else:
            metrics.THIN_LISTS.labels(account.mode, "done").inc()
            return
        metrics.THIN_LISTS.labels(account.mode, outcome).inc()
        logs.get_logger().warning("thin_events_not_listed", account=account.name, mode=account.mode, reason=reason)

    async def _look(self, account: Account, types: Sequence[str], begins_at: int) -> None:
        moments = []
        for start in range(0, len(types), _TYPES_AT_ONCE):
            async for entries, said_at in _pages(
                self.apis[account.livemode], account, types[start : start + _TYPES_AT_ONCE], begins_at
            ):
                moments.append(said_at)
                await self._record(account, entries)
        await self.database.execute(
            QUERIES["keep_listed"], account.livemode, account.name, self.holder, min(moments, default=begins_at)
        )

    async def _record(self, account: Account, entries: Sequence[Json]) -> None:
        events, refused = [], []
        for entry in entries:
            try:
                events.append(read_thin_entry(entry, account))
            except MalformedEvent as error:
                refused.append(Refused("", str(error)))
        async with self.database.acquire() as tx, tx.transaction(isolation="read_committed"):
            filled = await record(tx, events, source=RECONCILE)
        metrics.EVENTS.labels(account.mode, "filled").inc(len(filled.new))
        for one in (*refused, *filled.refused):
            self.errors.webhook(
                f"Stripe lists a thin event {one.stripe_event_id or ''} that cannot be recorded: {one.reason}",
                severity="high",
                stripe_event_id=one.stripe_event_id or None,
                request_data={"account": account.name, "livemode": account.livemode},
            )


def worth_asking(handled: Collection[str]) -> Sequence[str]:
    """Types that come as thin events alone, and are not ignored; a ping that does not come is the canary's to tell."""
    return sorted({GENERATION_FAILURE, *(name for name in handled if name.startswith(OF_SECOND_API))} - {PING})


def read_thin_entry(entry: Json, account: Account) -> StripeEvent:
    """
    Read one event of the second API as its webhook would have brought it.

    Raises:
        MalformedEvent: it is none, or of the other mode.
    """
    if not isinstance(entry, Mapping):
        raise MalformedEvent("An entry of the list is no object.")
    whose: JsonObject = {} if account.account is None or entry.get("context") else {"context": account.account}
    event = read_event(as_body({**entry, **whose}))
    if not event.is_thin or event.livemode is not account.livemode:
        raise MalformedEvent("The entry is no thin event of this mode.")
    return event


async def _pages(
    api: StripeApi, account: Account, types: Sequence[str], begins_at: int
) -> AsyncIterator[tuple[Sequence[Json], int]]:
    """Entries of each page, newest first, with Stripe's time of the answer."""
    path: Json = EVENTS
    parameters: dict[str, str | int] = {
        "limit": _PAGE,
        "created[gte]": datetime.fromtimestamp(begins_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **{f"types[{place}]": name for place, name in enumerate(types)},
    }
    while isinstance(path, str):
        answer = await api.get(path, parameters, account=account.account)
        entries, following = answer.document.get("data"), answer.document.get("next_page_url")
        if not isinstance(entries, list) or following == path:
            raise StripeUnavailable("Stripe did not answer with a list that can be followed.")
        if isinstance(following, str) and not following.startswith(EVENTS):
            raise StripeUnavailable("Stripe's list goes on somewhere else.")
        yield entries, answer.said_at
        path, parameters = following, {}
