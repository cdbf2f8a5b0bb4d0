"""How far a walk through one list of objects got: kept in PostgreSQL, in the commit that records its page."""

from dataclasses import dataclass, replace

from reconciler.accounts import Account
from reconciler.backfill.kinds import Kind
from reconciler.listed import ListedPage
from reconciler.record import Filled
from sluice.postgres.pool import Connection, Database
from sluice.postgres.sql import load_queries

_QUERIES = load_queries(__file__, "progress.sql")


@dataclass(frozen=True, slots=True)
class Walk:
    """
    A walk from the newest object back in time; whatever was created from ``reached`` to ``until`` is recorded.

    Times are whole seconds by Stripe's clock.
    """

    since: int
    """Everything created from then on is listed."""
    until: int | None = None
    """When it began; None: nothing was asked yet."""
    reached: int | None = None
    cursor: str | None = None
    """The last id of the page before; not kept, for time is enough to go on, and an object may be deleted."""
    listed: int = 0
    filled: int = 0
    refused: int = 0

    def after(self, page: ListedPage, filled: Filled) -> "Walk":
        """The same walk, one page further."""
        times = [made for event in page.events if isinstance(made := event.object.get("created"), int)]
        return replace(
            self,
            until=page.said_at if self.until is None else self.until,
            reached=min(times, default=self.reached),
            cursor=page.last_id,
            listed=self.listed + page.listed,
            filled=self.filled + len(filled.new),
            refused=self.refused + len(page.refused) + len(filled.refused),
        )


async def read_walk(database: Database, account: Account, kind: Kind, *, since: int) -> Walk:
    """The walk to go on with: one that was interrupted, else a new one."""
    rows = await database.fetch(_QUERIES["read_walk"], account.livemode, account.name, kind.name)
    return Walk(since, **rows[0]) if rows else Walk(since)


async def keep_walk(tx: Connection, account: Account, kind: Kind, walk: Walk, *, is_over: bool) -> None:
    """Keep a walk as far as it got, in the transaction that records its page."""
    await tx.execute(
        _QUERIES["keep_walk"],
        *(account.livemode, account.name, kind.name),
        *(walk.since, walk.until, walk.reached, walk.listed, walk.filled, walk.refused, is_over),
    )
